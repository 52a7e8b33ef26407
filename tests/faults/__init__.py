"""The fault suite: real processes and three real brokers are killed, frozen and cut off, and every frame is counted.

`make faults` runs the cases, `make soak` injects faults at random for a given time. The results are in
docs/reliability.md.
"""
