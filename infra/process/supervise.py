"""Child processes of the demo: started, asked whether they are ready, stopped within a budget, never left behind."""

import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from infra.local.home import find_ports
from infra.process.children import module_command
from infra.process.daemons import last_lines
from infra.process.lifecycle import Deadline
from schemas.errors import SightlineError

PROBE_TIMEOUT_S = 0.5
POLL_S = 0.05
KILL_WAIT_S = 2.0
LAST_LINES = 6


class ChildFailed(SightlineError):
    """A process that was to run on has ended."""


class Child:
    """One `sightline` command as a process. Start it from the main thread: Linux ties its life to the thread's.

    It is in a session of its own, so that Ctrl-C at the terminal stops it when its parent says so and not before.
    """

    def __init__(self, name: str, words: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name, self.log = name, log
        self.http_port = find_ports(1)[0]
        own = {"SIGHTLINE_HTTP__HOST": "127.0.0.1", "SIGHTLINE_HTTP__PORT": str(self.http_port)}
        log.parent.mkdir(parents=True, exist_ok=True)
        # To a file: a pipe that nobody empties would stop a process that has much to say.
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                module_command("infra.commands.child", str(os.getpid()), *words),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(env or {}), "SIGHTLINE_LOG__FORMAT": "text", **own},
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def running(self) -> bool:
        return self._process.poll() is None

    def check(self) -> None:
        """Raises ChildFailed with its last words when it has ended."""
        if self.running():
            return
        code = self._process.returncode
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        words = last_lines(self.log, LAST_LINES)
        raise ChildFailed(f"`sightline {self.name}` {how}" + (f", after saying:\n{words}" if words else ""))

    def not_ready(self) -> str | None:
        """None when it is ready, else what it says about it."""
        status, body = self._get("/readyz")
        return None if status == 200 else body.strip() or "starting"

    def metrics(self) -> str:
        """The text of its /metrics; empty when it does not answer."""
        status, body = self._get("/metrics")
        return body if status == 200 else ""

    def terminate(self) -> None:
        if self.running():
            self._process.terminate()

    def wait(self, timeout_s: float) -> bool:
        """True when it has ended in time."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        if self.running():
            self._process.kill()
            self.wait(KILL_WAIT_S)

    def _get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.http_port}{path}", timeout=PROBE_TIMEOUT_S
            ) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""


def stop(children: Iterable[Child], timeout_s: float) -> list[str]:
    """SIGTERM to all at once, SIGKILL to what is left when the time is over; the names of those."""
    asked = list(children)
    for child in asked:
        child.terminate()
    deadline = Deadline(timeout_s)
    late = [child for child in asked if not child.wait(max(POLL_S, deadline.remaining_s()))]
    for child in late:
        child.kill()
    return [child.name for child in late]
