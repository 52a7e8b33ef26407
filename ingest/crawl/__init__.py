"""`sightline crawl`: the images of web sites become frames.

May import: infra, schemas, ingest.publish, and of ingest.sources what tells an image by its bytes; the demo's crawler
also what renders simulated cameras.
"""
