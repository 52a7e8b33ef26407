"""How a module of ours is run as a child process: its command, its environment, and that it ends with its parent."""

import ctypes
import os
import signal
import sys
from pathlib import Path

# The folder of the six packages.
ROOT = Path(__file__).resolve().parents[2]

PR_SET_PDEATHSIG = 1


def module_command(module: str, *words: str) -> list[str]:
    """`python -P -m module word...`.

    -P keeps the working directory out of the import path: a folder there may have the name of one of our packages.
    """
    return [sys.executable, "-P", "-m", module, *words]


def environment(**defaults: str) -> dict[str, str]:
    """This process's environment over `defaults`, with a PYTHONPATH that leads the child to the same packages."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**defaults, **os.environ, "PYTHONPATH": path}


def die_with_parent(number: signal.Signals, parent: int | None = None) -> None:
    """Let Linux send the signal `number` to this process when the thread that started it ends, even by kill -9.

    Other systems cannot do that. `parent` is the parent's pid: when it ended before this call, the signal is sent now.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number)
    if parent not in (None, os.getppid()):
        os.kill(os.getpid(), number)


def how_it_ended(code: int) -> str:
    """A `Popen.returncode` in words: `exited with 1`, or `ended with SIGKILL`."""
    if code >= 0:
        return f"exited with {code}"
    try:
        return f"ended with {signal.Signals(-code).name}"
    except ValueError:
        return f"ended with signal {-code}"
