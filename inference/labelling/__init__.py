"""From the output of a model to a label, and what the labels of a source tell. Pure, but for `decision_metrics`.

May import: models.base, infra.process, infra.settings, schemas.
"""
