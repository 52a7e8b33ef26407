"""Replays of historical frames, as every package sees them: their progress on the compacted topic `replay.progress`.

A group's offsets expire a week after its last member left, and a paused replay would forget its place. A topic keeps
it, and other programs can wait there for COMPLETED. `lane` runs the replay lane's own stages on this machine, `brake`
slows a replay down while the live lane is behind.
`answers` (with `outcomes`, `examples`) reads what a replay and the live lane said of the same frames; `diff` (with
`table`, `intervals`, into a `result`) compares it and `gate` judges that: these are pure.
May import: schemas, infra.settings, infra.process, infra.kafka, infra.lag.
"""
