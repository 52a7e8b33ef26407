"""Benchmarks: each measures ours and a bare limit (the same work without the pipeline) in turn, and prints the ratio.

Absolute figures vary by half on a shared machine; the ratio of two measurements made right after each other does not.
A benchmark `sightline bench NAME` is `bench_NAME`. May import: the other packages, and libraries.
"""
