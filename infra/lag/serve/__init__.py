"""What `sightline lag --serve` answers: Burrow's HTTP API, Prometheus metrics, and a small JSON for autoscalers.

May import: schemas, infra.settings, infra.process, infra.lag.
"""
