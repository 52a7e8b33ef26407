"""Prometheus and Alertmanager for Sightline: the rules, an example configuration, and both run on this machine.

May import: schemas, infra.settings, infra.process, infra.local, infra.commands.
"""
