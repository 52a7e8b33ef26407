"""What it runs on: settings, the CLI table, logs, metrics, health, Kafka and Redis clients, topics, local services.

May import: schemas, and libraries. `infra/cli.py` alone reaches up, through a table of strings, so that no
command loads what another needs.
"""
