"""Kafka as every process uses it: client settings, the producer, readers without a group, topics, offsets.

The only place besides `streams/source` that imports a Kafka client. May import: schemas, infra.settings, infra.process,
and `infra.local.state`, which tells where the local broker listens.
"""
