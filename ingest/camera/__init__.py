"""The camera agent: a feed for each camera, the buffer that they share, and the command.

`command` reads the options, `agent` wires feeds, buffer and outbox together. May import: publish, capture, sources,
infra, schemas.
"""
