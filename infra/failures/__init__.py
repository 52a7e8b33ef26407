"""What becomes of a frame that got no label: retries, dead letters, and the breaker that stops a broken deployment.

May import: schemas, infra.settings, infra.process, infra.kafka.
"""
