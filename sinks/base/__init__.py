"""What sinks share: the contract, the loop that keeps it, labels as text, and which labels were seen before.

A sink that stores labels implements `contract`; `process` runs it as a command: `loop` reads in a consumer group,
`starts` says from where, `batch` when to flush, `flusher` makes one attempt, `repeats` leaves second labels out, `dead`
buries what is refused, `commits` commits behind the flush. `memory` is the sink for tests. `label_text` and `dedupe`
serve the commands without a group as well. May import: infra, schemas.
"""
