"""From the numbers of a model to a label. Pure. May import: models, schemas."""
