"""The upload gateway: pictures over HTTP to `frames.raw`, and their labels back to those who sent them.

May import: ingest.publish, ingest.sources, infra, schemas. FastAPI and uvicorn stay in `api`, `docs_page`, `answers`
and `service`.
"""
