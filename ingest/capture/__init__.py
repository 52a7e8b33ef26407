"""The processes around sources: a driver or codec that hangs or crashes takes down nothing but its process.

`main` and `capture` run inside one, `process` is the agent's side of it, `handing` and `wire` are between the two, and
`groups` decides which sources share one.
May import: sources, infra.process, schemas. It knows no Kafka.
"""
