"""Requests to addresses that others chose: which may be connected to, and an HTTP client that keeps to it.

The policy is an object that is handed in. No flag, setting or variable loosens it. May import: schemas, aiohttp.
"""
