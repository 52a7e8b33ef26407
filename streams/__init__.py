"""The stream processor: from frames to micro-batches. `command` and `processor` wire it, from start to stop.

May import: every package of ours. Inside: source (Faust), stage (what becomes of a window), decode, retry, watch;
`source` and `retry` hand frames to `stage`, which knows neither.
"""
