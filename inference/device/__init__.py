"""Runs of the model: `runs` plans them, `staging` fills them ahead of need, `scoring` splits and retries failed ones.

`device` is the thread that calls the model, `warm_up` its first job, `failures` what a model raises, `working_size` how
much fits into its memory, and `work` what travels. May import: models, image, infra, schemas. It calls no Kafka client.
"""
