"""`sightline redrive`: sends dead letters, or frames without any outcome, through the pipeline again.

`plan` decides which dead letters; `missing` asks the audit for frames without an outcome, and `under_way` leaves out
those that a stage still has; `send` copies and marks; `text` says what was done. May import: publish, infra, schemas.
"""
