"""The cache of labels by image, in Redis: `exact` reads and stores, `writer` is the thread of the worker that fills it.

`scope` is what a label depends on beside its image, `record` the format of a value, `store` the key-value store,
`circuit` the circuit breaker. May import: device.work, models, image, infra, schemas.
Labels never depend on it: while Redis is down, every look-up is a miss.
"""
