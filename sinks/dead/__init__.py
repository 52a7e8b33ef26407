"""`sightline dead list|show|export`: shows and exports dead letters, with the reasons.

May import: base, infra, schemas.
"""
