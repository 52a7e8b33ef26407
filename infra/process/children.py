"""How a module of ours is run as a child process: its command, its environment, and that it ends with its parent."""

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

# The folder of the six packages.
ROOT = Path(__file__).resolve().parents[2]

PR_SET_PDEATHSIG = 1
AUTOGROUP_TRIES = 5


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


def yield_to_others(pid: int, niceness: int) -> None:
    """Let other processes come first where they want the same core; for a child that was started a moment ago.

    Its threads and children inherit it. Linux shares the cores out among sessions before it looks at the niceness of
    processes (autogroups, sched(7)), and a child has a session of its own: so its session is made nice too.
    """
    with contextlib.suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, min(19, os.getpriority(os.PRIO_PROCESS, 0) + niceness))
    for _ in range(AUTOGROUP_TRIES):
        try:
            Path(f"/proc/{pid}/autogroup").write_text(str(niceness))
        except BlockingIOError:  # the kernel takes one such change in 0.1 s
            time.sleep(0.1)
        except OSError:  # another system, a kernel without autogroups, or the child has ended
            return
        else:
            return


def how_it_ended(code: int) -> str:
    """A `Popen.returncode` in words: `exited with 1`, or `ended with SIGKILL`."""
    if code >= 0:
        return f"exited with {code}"
    try:
        return f"ended with {signal.Signals(-code).name}"
    except ValueError:
        return f"ended with signal {-code}"
