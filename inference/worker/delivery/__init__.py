"""How outcomes leave the worker and offsets move: at least once, or exactly once (KIP-447)."""
