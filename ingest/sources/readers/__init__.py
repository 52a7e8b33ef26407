"""Open sources, one module a kind; `base` is what they have in common, `open` picks one. Capture processes only."""
