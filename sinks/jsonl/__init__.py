"""`sightline sink jsonl DIR`: stores labels as JSON lines, in files by day and hour.

`sink` implements the sink contract with files in a folder; `manifest` records which of their content is flushed;
`recovery` repairs the folder after a crash; `layout` has the names of the files; `disk` has the calls that make bytes
durable; `command` is the wiring.
May import: sinks.base, infra, schemas.
"""
