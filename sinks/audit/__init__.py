"""`sightline audit`: the proof that every frame has its outcome. `ledger` is the pure bookkeeping; `command` reads."""
