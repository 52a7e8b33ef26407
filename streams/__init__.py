"""The stream processor: from frames to micro-batches, with its cache look-up, decode pool and retry lane.

May import: everything below it (inference, infra, schemas), and libraries.
"""
