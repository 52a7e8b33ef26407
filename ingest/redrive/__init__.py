"""`sightline redrive`: sends dead letters through the pipeline again.

`plan` decides which, `send` copies and marks them, `text` says what was done. May import: publish, infra, schemas.
"""
