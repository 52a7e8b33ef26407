"""The source topic, read through Faust: frames in, offsets out.

The only package besides `infra.kafka` that imports a Kafka client. May import: schemas, infra, `streams.stage`.
"""
