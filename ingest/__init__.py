"""Producers: what turns cameras, files and dead letters into Frames on Kafka. All of them send through `publish`.

May import: infra, schemas. `publish` knows no camera; `sources` and `capture` know no Kafka.
"""
