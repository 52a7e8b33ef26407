"""The consumers of labels and dead letters: one folder for each command, with its rules and its output text.

May import: infra, schemas. A sink that writes labels to another system implements the contract in `base`.
"""
