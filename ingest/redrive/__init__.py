"""`sightline redrive`: dead letters through the pipeline again. `plan` decides, `send` copies and marks."""
