"""The process around one source: a driver or codec that hangs or crashes takes down nothing but this process.

`main` runs inside it, `process` is the agent's side of it, `wire` is the pipe between the two.
May import: sources, infra.process, schemas. It knows no Kafka.
"""
