"""Redis or Valkey: its address, the route to its data, its clients.

May import: schemas, infra.process.logs, infra.settings, infra.local.state.
"""
