"""`sightline sink jsonl DIR`: labels as JSON lines in files by day and hour.

`sink` is the sink contract on a folder, `manifest` what that folder holds for certain, `recovery` what is done after a
crash, `layout` the names of its files, `disk` the calls that make bytes durable, `command` the wiring.
May import: sinks.base, infra, schemas.
"""
