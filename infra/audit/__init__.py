"""The audit: which frames have which outcomes, for `sightline audit`, the demo, and `sightline redrive --missing`.

`ledger` and `expired` do the bookkeeping and are pure; `outcome_reader` reads labels and dead letters; `audit` puts
them together; `balance` is the result. May import: schemas, infra.settings, infra.process, infra.kafka, infra.failures.
"""
