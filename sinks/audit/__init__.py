"""`sightline audit`: proves that every frame has an outcome, a label or a dead letter.

`command` runs the audit of `infra.audit`, `text` prints the result. May import: infra, schemas.
"""
