"""Producers: cameras and files become Frames on `frames.raw`, and dead letters are sent through the pipeline again.

Every producer of frames sends through `publish`, which knows no camera; `sources` and `capture` know no Kafka.
May import: infra, schemas.
"""
