"""Back-pressure and progress: the backlog of the workers, the stage's own lag, and the rule that ends a stalled stage.

`backlog` and `progress_rule` decide (pure); `monitor` asks the broker. May import: schemas, infra.
"""
