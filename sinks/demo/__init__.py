"""`sightline demo`: everything on one machine. `command` wires it; `stats` and `view` are pure.

May import: base, audit (whose ledger counts the frames), infra, schemas. Other packages run as processes of their own.
"""
