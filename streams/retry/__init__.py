"""Frames that failed with an error that may pass: they come back after a delay, without blocking other frames.

`waiting` holds them until they are due (pure); `consumer` reads the retry topic. May import: schemas, infra,
`streams.stage.frames`.
"""
