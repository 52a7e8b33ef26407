"""Consumers of labels and dead letters: a folder a command, each with its text and its rules beside it.

May import: infra, schemas. Sinks that write labels elsewhere stand on the contract in `base`.
"""
