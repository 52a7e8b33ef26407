"""What `--source S` means, and how each kind of source is read, sampled and simulated.

May import: schemas; nothing else of ingest. It knows no Kafka. `readers` and `render` load OpenCV, and for that reason
they are imported in capture processes only.
"""
