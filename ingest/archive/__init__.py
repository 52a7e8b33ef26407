"""`sightline archive`: frames by hour as Parquet files, on disk or in object storage, beyond Kafka's retention.

`reading` is what other commands use; only `command`, `run` and `events_reader` know Kafka. May import: schemas, infra.
"""
