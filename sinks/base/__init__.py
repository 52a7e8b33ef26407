"""What sinks share: the contract, the loop that runs a sink, labels as text, and the recognition of repeated labels.

A sink that stores labels implements `contract`, and `process` runs it as a command. `loop` reads labels as a member of
a consumer group; `start_positions` decides at which offsets; `batch` decides when to flush; `flusher` makes one attempt
to store a batch; `repeats` leaves out repeated labels; `dead` sends refused labels to `labels.dead`; `commits` commits
after a flush. `label_text` and `dedupe` also serve commands without a consumer group.
May import: infra, schemas.
"""
