"""The model side: from the bytes of an image to a label. Commands: `worker/command` (Kafka) and `classify` (files).

May import: infra, schemas. Inside, each layer may import those to its right:
worker > cache > device, labelling > models > image.
"""
