"""`sightline replay diff` and `sightline replay promote`: what a replay answers differently, and how that is kept.

`command` > `promote` (I/O), `pictures` (decoding), `page`, `text`, `corrections` (pure). May import: infra, schemas.
"""
