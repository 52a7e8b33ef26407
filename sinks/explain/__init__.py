"""`sightline explain`: the life of one frame, from its coordinates or its id.

`command` > `look` > `search`, `batches`, `positions`, `save` (I/O), `text`, `fields` > `life` > `found` (pure). May
import: sinks.base, infra, schemas.
"""
