"""Local services on one machine: a real Kafka (1 or 3 brokers) and a real Valkey, kept in one state folder.

`stack.up` starts both: `kafka.LocalKafka` and `valkey.LocalValkey`. `state.json` (see `state.py`) holds the
addresses and pids, so that every other process finds the services. Everything listens on 127.0.0.1 only.
May import: schemas, infra.settings, infra.process, infra.kafka.brokers, infra.redis, and redis; `state`, which
infra.kafka and infra.redis read, only the first three.
"""
