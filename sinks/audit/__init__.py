"""`sightline audit`: proves that every frame has an outcome, a label or a dead letter.

`ledger` and `expired` do the bookkeeping and are pure; `outcome_reader` reads labels and dead letters; `command` is the
wiring; `text` prints the result. May import: infra, schemas.
"""
