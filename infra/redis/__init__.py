"""Redis or Valkey: its address and its clients. May import: schemas, infra.settings, infra.local.state."""
