"""The process around one source, so that a camera's driver can hang or crash alone.

`main` and `readers` run inside it; `child` is the agent's side of it; `wire` is what the two say to each other.
May import: sources, and of infra only what a bare process needs. Knows no Kafka.
"""
