"""Local services for one machine: a real Kafka (1 or 3 brokers) and a real Valkey, kept in one state folder.

Start with `stack.up`; the parts are `kafka_cluster.LocalKafka` and `valkey.LocalValkey`. What runs is written in
`state.json` (see `state.py`), so that every other process finds it. Everything listens on 127.0.0.1 only.
May import: the standard library, psutil, confluent_kafka, redis, `schemas`.
"""
