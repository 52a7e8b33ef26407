"""The worker as a member of its consumer group: its clients, what it owns and has in flight, whether it gets records.

May import: device, infra, schemas.
"""
