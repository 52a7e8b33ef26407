"""`sightline` as people run it: a child process, watched by its health port, stopped by SIGTERM."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from infra.process.children import how_it_ended
from infra.process.ports import find_ports
from infra.process.supervise import http_get
from tests.support.paths import ROOT

STOP_BUDGET_S = 10.0
READY_TIMEOUT_S = 120.0
HTTP_TIMEOUT_S = 5.0
_POLL_S = 0.05
COMMAND = (str(Path(sys.executable).with_name("sightline")),)


class Running:
    """One long-running command. Output goes to files, so that a chatty process never blocks on a full pipe."""

    def __init__(
        self,
        words: Sequence[str],
        env: Mapping[str, str],
        cwd: Path = ROOT,
        *,
        http: bool = True,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.words = list(words)
        self.http_port = find_ports(1)[0] if http else 0
        port = ["--http-port", str(self.http_port)] if http else []
        self._stdout: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [*command, *self.words, *port],
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=self._stdout,
            stderr=self._stderr,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while the process runs."""
        return self._process.poll()

    @property
    def stdout(self) -> str:
        return _read(self._stdout)

    @property
    def stderr(self) -> str:
        return _read(self._stderr)

    def json_lines(self) -> list[dict[str, Any]]:
        """The complete lines of stdout so far, each as JSON."""
        return [json.loads(line) for line in self.stdout.split("\n")[:-1]]

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> "Running":
        """Wait until /readyz answers 200. Fails, with the process's stderr, when it ends before or the time is over."""
        until = time.monotonic() + timeout_s
        while (answer := self.probe("/readyz"))[0] != 200:
            if (code := self.exit_code) is not None:
                raise AssertionError(f"{self} {how_it_ended(code)} before it was ready:\n{self.stderr[-4000:]}")
            if time.monotonic() > until:
                raise AssertionError(f"{self} is not ready after {timeout_s:g} s: {answer}\n{self.stderr[-4000:]}")
            time.sleep(_POLL_S)
        return self

    def probe(self, path: str) -> tuple[int, str]:
        """Status and body of an answer of the health port; status 0 when nothing answers."""
        return http_get(self.http_port, path, HTTP_TIMEOUT_S)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the metric's samples with these labels; 0 when there is none yet."""
        from prometheus_client.parser import text_string_to_metric_families

        families = text_string_to_metric_families(self.probe("/metrics")[1])
        samples = (sample for family in families for sample in family.samples)
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens when it has ended."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """kill -9; returns when the process has ended."""
        self._process.kill()
        self._process.wait(10)

    def wait(self, timeout_s: float) -> int:
        """Wait until it ends by itself; returns its exit code. Fails, with its stderr, when it does not end in time."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self} still runs after {timeout_s:g} s:\n{self.stderr[-4000:]}") from None

    def stop(self, budget_s: float = STOP_BUDGET_S) -> int:
        """Send SIGTERM and wait for the end; returns the exit code. Fails when `budget_s` is over before."""
        if self.exit_code is None:
            self.signal(signal.SIGTERM)
        return self.wait(budget_s)

    def close(self) -> None:
        """End the process at the end of a test: by SIGTERM, else by SIGKILL."""
        if self.exit_code is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_BUDGET_S)
            except subprocess.TimeoutExpired:
                self.kill()
        self._stdout.close()
        self._stderr.close()

    def __str__(self) -> str:
        return f"`sightline {' '.join(self.words)}` (pid {self.pid})"


class Runner:
    """Starts `sightline` with a given environment and stops everything that it started."""

    def __init__(self, env: Mapping[str, str], cwd: Path = ROOT, command: Sequence[str] = COMMAND) -> None:
        self.env = dict(env)
        self.cwd, self.command = cwd, command
        self.started: list[Running] = []

    def start(
        self, *words: str, env: Mapping[str, str] | None = None, http: bool = True, ready: bool = True
    ) -> Running:
        """Start a long-running command, and wait until it is ready if `ready`. `http=False`: it has no health port."""
        running = Running(words, {**self.env, **(env or {})}, self.cwd, http=http, command=self.command)
        self.started.append(running)
        return running.wait_ready() if ready and http else running

    def run(
        self, *words: str, env: Mapping[str, str] | None = None, timeout_s: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command that ends by itself; the caller checks its exit code."""
        return subprocess.run(
            [*self.command, *words],
            env={**self.env, **(env or {})},
            cwd=self.cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def close(self) -> None:
        for running in reversed(self.started):
            running.close()


def _read(file: IO[bytes]) -> str:
    # The child shares the file's position, so the file is read by pread and never by seek.
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode(errors="replace")
