"""`sightline subscribe`: labels to stdout. May import: base, infra, schemas."""
