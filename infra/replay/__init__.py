"""Replay: what the commands around history share, on the producing and on the consuming side.

`lane` runs the replay lane's own stages on this machine, `brake` slows a replay down while the live lane is behind.
May import: schemas, and everything of infra but infra.cli.
"""
