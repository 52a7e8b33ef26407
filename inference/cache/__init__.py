"""The cache of labels of images seen before, in Redis. `exact` looks up, `writer` fills, `store` is the storage.

May import: models, infra, schemas. Knows no Kafka: Redis may be away, and labels go on.
"""
