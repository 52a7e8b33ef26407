"""Consumer lag of any group on the cluster: how much waits, for how long, whether it matters, and why.

`rules` decides and knows no client. May import: schemas, infra.settings, infra.process, infra.kafka.
"""
