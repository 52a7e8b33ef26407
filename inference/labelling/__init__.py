"""From the output of a model to a label. Pure. May import: models.base, schemas."""
