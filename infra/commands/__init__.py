"""Commands that look after the ground: up, down, status, topics create, config check, doctor.

May import: all of infra, and schemas. Nothing imports it but `infra/cli.py`, by name.
"""
