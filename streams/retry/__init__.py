"""Frames that failed for a passing reason come back after a delay, without holding live ones."""
