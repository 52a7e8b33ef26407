"""Tests by cost: unit (no network, seconds), kafka (a real broker), e2e (processes), faults (minutes), gpu, bench."""
