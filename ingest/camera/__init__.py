"""The camera agent: a feed for each camera, the buffer they share, and the command.

May import: publish, capture, sources, infra, schemas.
"""
