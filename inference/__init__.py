"""The model side: from encoded bytes to a label. Wiring: `worker/command` (Kafka) and `classify` (files).

May import: infra, schemas. Inside: worker > device, cache, labelling > models > image; each may use those behind it.
"""
