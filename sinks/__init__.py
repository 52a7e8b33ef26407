"""Label consumers: subscribe, audit, dead letters, the demo's live table.

May import: infra, schemas, and libraries; none of its neighbours.
"""
