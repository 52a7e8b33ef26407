"""What all processes share: settings, the command line, logs, metrics, health, Kafka and Redis clients, local services.

May import: schemas, and libraries. Only `infra/cli.py` refers to the packages above, by names in a table of strings, so
that no command imports what only another command needs.
"""
