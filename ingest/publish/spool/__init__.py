"""The disk queue in which any producer keeps its frames while Kafka takes none.

`spooler` decides where each frame goes, `disk_queue` keeps them in order per source and within limits, `entries` is its
index, `segment`, `record` and `progress` are what lies on disk, `opening` finds and locks the folder. May import:
publish, infra, schemas.
"""
