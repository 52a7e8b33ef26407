"""`sightline infer`: a member of the workers' consumer group, from micro-batches to labels.

`command` wires it, `loop` polls, `pipeline` runs the model, `delivery` sends labels and moves offsets, `group` is
membership: clients, partitions owned, where reading starts. May import: all of inference, infra, schemas.
"""
