"""Work in pieces that fit the device: merged into runs, laid out ahead of need, retried, split where memory is short.

May import: models, image, infra, schemas. Knows no Kafka.
"""
