"""Decoding of images in child processes, so that the event loop does not wait for it.

`pool` hands out jobs, `jobs` cuts windows of images into jobs (pure), `process` is the parent's side of one child
process, `child` runs in it. May import: schemas, infra.process. Knows no Kafka and no image library: its caller says
what the work is.
"""
