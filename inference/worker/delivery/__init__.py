"""How labels are written and offsets committed: `base` is the interface, with one way a module behind it.

May import: device, worker.group, infra, schemas.
"""
