"""Benchmarks: each measures the bare limit and ours in one run, interleaved, and prints their ratio.

Absolute figures drift by half on a shared machine; a ratio of neighbours does not.
"""
