"""The cache of labels by image, in Redis: `exact` reads and stores, `writer` is the thread of the worker that fills it.

`record` is the format of a value, `store` the key-value store, `circuit` the circuit breaker. May import: device.work,
models, infra, schemas. Labels never depend on it: while Redis is down, every look-up is a miss.
"""
