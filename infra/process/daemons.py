"""Processes that outlive the command that started them; a later command recognises them by more than their pid."""

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

# A process must reap its own children, or a killed child stays a zombie. Keeping the Popen also avoids its warning.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """A process, identified by its pid and its start time. `marker` is a word that only its command line contains."""

    pid: int
    started: str
    marker: str

    def alive(self) -> bool:
        """Whether this very process runs: same pid, same start time, same command. A reused pid does not count."""
        command = _command(self.pid)
        # A dying process has no command line any more but may still hold its ports: it counts as alive.
        running = _start_mark(self.pid) == self.started and (not command or self.marker in command)
        if not running:
            _reap(self.pid)
        return running


def spawn(command: Sequence[str], marker: str, log: Path, env: Mapping[str, str] | None = None) -> ProcessRef:
    """Start in a session of its own, which Ctrl-C at the terminal does not reach; the output is appended to `log`."""
    if marker not in command:
        raise ValueError(f"{marker!r} is not a word of the command")
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
    """A running process whose command line contains `marker`: for one whose pid was never written to the state."""
    for pid in psutil.pids():
        command = _command(pid)
        if marker in command and Path(command[0]).name == program and (started := _start_mark(pid)):
            return ProcessRef(pid, started, marker)
    return None


def terminate(refs: Sequence[ProcessRef], timeout_s: float) -> list[ProcessRef]:
    """SIGTERM to all at once, then SIGKILL to those that run after `timeout_s`, which are returned."""
    for ref in refs:
        send(ref, signal.SIGTERM)
    late = wait_gone(refs, timeout_s)
    for ref in late:
        send(ref, signal.SIGKILL)
    wait_gone(late, 10.0)
    return late


def send(ref: ProcessRef, signum: int) -> None:
    """Send the signal to this very process; nothing happens when it has ended."""
    if ref.alive():
        with suppress(ProcessLookupError):
            os.kill(ref.pid, signum)


def wait_gone(refs: Sequence[ProcessRef], timeout_s: float) -> list[ProcessRef]:
    """Wait until none is alive; returns those that are alive when the time is over."""
    until = time.monotonic() + timeout_s
    left = [ref for ref in refs if ref.alive()]
    while left and time.monotonic() < until:
        time.sleep(_POLL_S)
        left = [ref for ref in left if ref.alive()]
    return left


def last_lines(file: Path, count: int = 5, max_bytes: int = 16384) -> str:
    """The last lines of a log without blank ones, for an error message; empty when there is no log."""
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
    """Whether threads of a killed process still run: its files and ports stay open until the last one ends."""
    return psutil.LINUX and len(list(Path(f"/proc/{pid}/task").iterdir())) > 1


def _start_mark(pid: int) -> str:
    """The start time, in a form that no change of the wall clock affects; empty for an ended process or a zombie."""
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
