"""`sightline` commands as child processes: started, asked over HTTP whether they are ready, and stopped in time.

The demo and the benchmarks run the pipeline with it. No child outlives its parent, even when that is killed.
"""

import os
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from infra.process.children import environment, how_it_ended, module_command, yield_to_others
from infra.process.daemons import last_lines
from infra.process.lifecycle import Deadline
from infra.process.ports import find_ports
from schemas.errors import SightlineError

HTTP_TIMEOUT_S = 0.5
POLL_S = 0.05
KILL_WAIT_S = 2.0
# Of the child's output, what the message about its end repeats.
LAST_LINES = 12


class ChildFailed(SightlineError):
    """A child process ended, or did not become ready in time."""


class Child:
    """One `sightline` command as a process, its output in the file `log`.

    Start it from the main thread: on Linux the child is stopped when the thread that started it ends. It runs in a
    session of its own, so that Ctrl-C at the terminal reaches the parent only, which then stops its children in order.
    `niceness`: by how much other processes come before it and its children (0: not at all, 19: as far as possible).
    `module`: what is run with our process id and the words; by default it runs the command of that name.
    """

    def __init__(
        self,
        words: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        *,
        niceness: int = 0,
        module: str = "infra.commands.child",
    ) -> None:
        self.name, self.log = words[0], log
        self.http_port = find_ports(1)[0]
        http = {"SIGHTLINE_HTTP__HOST": "127.0.0.1", "SIGHTLINE_HTTP__PORT": str(self.http_port)}
        log.parent.mkdir(parents=True, exist_ok=True)
        # A file and not a pipe: a process that writes much would block on a pipe that nobody reads.
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                module_command(module, str(os.getpid()), *words),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**environment(), **(env or {}), "SIGHTLINE_LOG__FORMAT": "text", **http},
            )
        if niceness:
            yield_to_others(self.pid, niceness)

    @property
    def pid(self) -> int:
        return self._process.pid

    def running(self) -> bool:
        return self._process.poll() is None

    def check(self) -> None:
        """Raises ChildFailed, with the last lines of its output, when the process has ended."""
        code = self._process.poll()
        if code is not None:
            raise ChildFailed(self._sentence(how_it_ended(code)))

    def not_ready(self) -> str | None:
        """None when /readyz answers 200, else the reason that it gives."""
        status, body = http_get(self.http_port, "/readyz", HTTP_TIMEOUT_S)
        if status == 200:
            return None
        return (status and body.strip()) or "starting"

    def wait_ready(self, timeout_s: float) -> None:
        """Returns when it is ready. Raises ChildFailed when it ends before that, or when the time is over."""
        deadline = Deadline(timeout_s)
        while reason := self.not_ready():
            self.check()
            if deadline.expired():
                raise ChildFailed(self._sentence(f"is not ready after {timeout_s:g} s ({reason})"))
            time.sleep(POLL_S)

    def metrics(self) -> str:
        """The text of /metrics; empty when it does not answer."""
        status, body = http_get(self.http_port, "/metrics", HTTP_TIMEOUT_S)
        return body if status == 200 else ""

    def terminate(self) -> None:
        """Send SIGTERM; nothing happens when it has ended."""
        if self.running():
            self._process.terminate()

    def wait(self, timeout_s: float) -> bool:
        """True when it ended in time."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """Send SIGKILL and wait for the end; nothing happens when it has ended."""
        if self.running():
            self._process.kill()
            self.wait(KILL_WAIT_S)

    def _sentence(self, what: str) -> str:
        output = last_lines(self.log, LAST_LINES)
        return f"`sightline {self.name}` {what}" + (f"; its last output:\n{output}" if output else "")


@contextmanager
def ready_child(
    words: Sequence[str], log: Path, env: Mapping[str, str], ready_s: float, stop_s: float
) -> Iterator[Child]:
    """A child that is ready, and that is stopped at the end of the block."""
    child = Child(words, log, env)
    try:
        child.wait_ready(ready_s)
        yield child
    finally:
        stop([child], stop_s)


def stop(children: Iterable[Child], timeout_s: float) -> list[str]:
    """SIGTERM to all at once, then SIGKILL to those that run after `timeout_s`; returns the names of those."""
    asked = list(children)
    for child in asked:
        child.terminate()
    deadline = Deadline(timeout_s)
    late = [child for child in asked if not child.wait(max(POLL_S, deadline.remaining_s()))]
    for child in late:
        child.kill()
    return [child.name for child in late]


def http_get(port: int, path: str, timeout_s: float) -> tuple[int, str]:
    """Status and body of http://127.0.0.1:PORT/PATH; status 0 and the reason when nothing answers in time.

    The connection is direct: a proxy that the environment names has no way to this machine's own ports.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, HTTPException) as error:  # HTTPException: the process ended while it answered
        return 0, str(error)
    finally:
        connection.close()
