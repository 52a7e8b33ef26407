"""Back-pressure and progress: the backlog of the workers, our own lag, and the rule that ends a stage that stands."""
