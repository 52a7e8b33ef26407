"""Open sources, a module for each kind; `base` is their protocol, `open` picks one.

Imported in capture processes only. May import: sources, schemas, OpenCV, an HTTP client.
"""
