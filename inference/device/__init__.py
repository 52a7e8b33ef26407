"""Runs of the model: `runs` plans them, `staging` fills them ahead of need, `scoring` splits and retries failed ones.

`work` is what travels through it. May import: models, image, infra, schemas. It calls no Kafka client.
"""
