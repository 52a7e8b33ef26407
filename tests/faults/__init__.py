"""Nothing is lost: real processes, three real brokers, and everything that can go wrong with them.

`make faults` runs the cases, `make soak` mixes them at random for as long as it is told.
The table is in docs/reliability.md.
"""
