"""The way of any producer to Kafka: the outbox, and the limit on its rate.

May import: infra, schemas; nothing else of ingest.
"""
