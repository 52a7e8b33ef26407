"""Frames that fail: retries, dead letters, and the circuit breaker that stops a stage when most frames fail.

May import: schemas, infra.settings, infra.process, infra.kafka.
"""
