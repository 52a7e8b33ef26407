"""Producers: camera agents that turn any source into Frames on `frames.raw`.

May import: infra, schemas, and libraries; none of its neighbours.
"""
