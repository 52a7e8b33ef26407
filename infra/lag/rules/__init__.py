"""What offsets mean: Burrow's rules, our own evaluator, lag in seconds, the bottleneck. Pure, with time as an argument.

May import: schemas. No client library, no clock.
"""
