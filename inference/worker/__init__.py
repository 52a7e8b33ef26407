"""`sightline infer`: a member of the workers' consumer group, from micro-batches to labels.

`command` starts it, `worker` puts it together, `loop` is the poll thread, `read_batch` checks a record, `pipeline` runs
the model, `labels_out` makes records, `delivery` sends them and commits offsets, `after_delivery` counts and caches,
`group` is its place in the consumer group, `stall_watchdog` ends a worker without progress.
May import: all of inference, infra, schemas. No client library, Kafka's included.
"""
