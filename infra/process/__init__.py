"""What every process of ours is made of: stop flag and time budgets, logs, metrics, health, memory, child processes.

May import: schemas, infra.settings. Knows neither Kafka nor Redis.
"""
