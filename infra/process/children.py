"""Modules of ours as processes of their own: how they are started, end with their parent, and ended."""

import ctypes
import os
import signal
import sys
from pathlib import Path

# The folder of the six packages.
ROOT = Path(__file__).resolve().parents[2]

PR_SET_PDEATHSIG = 1


def module_command(module: str, *words: str) -> list[str]:
    """`python -m module word...`, not out of the working directory: a folder there may be named like a package."""
    return [sys.executable, "-P", "-m", module, *words]


def environment(**defaults: str) -> dict[str, str]:
    """This process's own, under it `defaults`; modules are found in the tree that this one comes from."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**defaults, **os.environ, "PYTHONPATH": path}


def die_with_parent(number: signal.Signals, parent: int | None = None) -> None:
    """Linux sends `number` to this process when the thread that started it ends, even by kill -9. Elsewhere nothing.

    `parent` is its pid, for a child that would not notice otherwise that it ended before this call.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number)
    if parent not in (None, os.getppid()):
        os.kill(os.getpid(), number)


def how_it_ended(code: int) -> str:
    """A `Popen.returncode` in words: `exited with 1`, `ended with SIGKILL`."""
    if code >= 0:
        return f"exited with {code}"
    try:
        return f"ended with {signal.Signals(-code).name}"
    except ValueError:
        return f"ended with signal {-code}"
