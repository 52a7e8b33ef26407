"""Child processes that outlive the command that started them, known again by more than their pid."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_POLL_S = 0.05

# Children of this very process must be reaped by it, or a killed one stays a zombie; also keeps Popen from warning.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """A process as it was when it started. `marker` is a word of its command line that no other process has."""

    pid: int
    started: str
    marker: str

    def alive(self) -> bool:
        """True only for that very process: same pid, same start, same command. A reused pid is not it."""
        command = _command(self.pid)
        # A dying process has no command line any more but may still hold its ports: it counts until it is gone.
        running = _start_mark(self.pid) == self.started and (not command or self.marker in command)
        if not running:
            _reap(self.pid)
        return running


def spawn(command: Sequence[str], marker: str, log: Path, env: Mapping[str, str] | None = None) -> ProcessRef:
    """Start in a session of its own (Ctrl-C of the terminal does not reach it), output appended to `log`."""
    if marker not in command:
        raise ValueError(f"{marker!r} is no word of the command")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        child = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=None if env is None else dict(env),
            cwd=log.parent,
        )
    _children[child.pid] = child
    return ProcessRef(child.pid, _start_mark(child.pid), marker)


def find(marker: str, program: str) -> ProcessRef | None:
    """A running process whose command line has `marker` as a word: one whose pid was never written down."""
    for pid in psutil.pids():
        command = _command(pid)
        if marker in command and Path(command[0]).name == program and (started := _start_mark(pid)):
            return ProcessRef(pid, started, marker)
    return None


def terminate(refs: Sequence[ProcessRef], timeout_s: float) -> list[ProcessRef]:
    """SIGTERM to all at once, SIGKILL to those still there after `timeout_s`, which are returned. None is left."""
    for ref in refs:
        send(ref, signal.SIGTERM)
    late = wait_gone(refs, timeout_s)
    for ref in late:
        send(ref, signal.SIGKILL)
    wait_gone(late, 10.0)
    return late


def send(ref: ProcessRef, signum: int) -> None:
    """Signal that very process; nothing happens when it is gone."""
    if ref.alive():
        with suppress(ProcessLookupError):
            os.kill(ref.pid, signum)


def wait_gone(refs: Sequence[ProcessRef], timeout_s: float) -> list[ProcessRef]:
    """Wait until none is alive; returns those that still are."""
    until = time.monotonic() + timeout_s
    left = [ref for ref in refs if ref.alive()]
    while left and time.monotonic() < until:
        time.sleep(_POLL_S)
        left = [ref for ref in left if ref.alive()]
    return left


def last_lines(file: Path, count: int = 5, max_bytes: int = 16384) -> str:
    """The end of a log without its blank lines, for an error message; empty when there is none."""
    try:
        with file.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - max_bytes))
            lines = log.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join([line for line in lines if line.strip()][-count:])


def _reap(pid: int) -> None:
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        _children.pop(pid, None)


def _command(pid: int) -> list[str]:
    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []


def _threads_left(pid: int) -> bool:
    """Whether threads of a killed process still run: until the last has ended, its files and ports are open."""
    return psutil.LINUX and len(list(Path(f"/proc/{pid}/task").iterdir())) > 1


def _start_mark(pid: int) -> str:
    """When the process started, in a form that no jump of the wall clock changes; empty when it is gone or a zombie."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE and not _threads_left(pid):
            return ""
        if psutil.LINUX:
            ticks = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
            return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}:{ticks}"
        return f"{process.create_time():.0f}"
    except (psutil.Error, OSError):
        return ""
