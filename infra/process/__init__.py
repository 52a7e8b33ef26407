"""What every process of ours is made of: stop and time budget, logs, metrics, health, memory, child processes.

May import: schemas, infra.settings. Knows neither Kafka nor Redis.
"""
