"""The way of every producer to `frames.raw`: a frame, the outbox that numbers and sends it, counts, rate limits.

May import: infra, schemas; nothing else of ingest. It knows no camera, so that every kind of producer can use it.
"""
