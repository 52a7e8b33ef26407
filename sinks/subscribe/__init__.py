"""`sightline subscribe`: prints labels to stdout. May import: base, infra, schemas."""
