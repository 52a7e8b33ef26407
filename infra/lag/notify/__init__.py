"""Tells people of groups that are behind: incidents that open and close, and the ways to tell them.

For those without Prometheus and Alertmanager. May import: schemas, infra.settings, infra.process, infra.lag.
"""
