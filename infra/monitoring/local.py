"""A Prometheus, an Alertmanager and a lag monitor on this machine, kept in the state folder."""

import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.local.home import Home
from infra.monitoring.config import alertmanager_config, prometheus_config
from infra.process import daemons
from infra.process.daemons import ProcessRef
from infra.process.ports import find_ports
from infra.process.supervise import http_get
from schemas.errors import ConfigError, Unavailable

READY_S = 60.0
STOP_S = 8.0
# Program, its names on Debian and elsewhere, and what installs it.
PROGRAMS = {
    "prometheus": (("prometheus",), "sudo apt-get install -y prometheus"),
    "alertmanager": (("prometheus-alertmanager", "alertmanager"), "sudo apt-get install -y prometheus-alertmanager"),
}


@dataclass(frozen=True, slots=True)
class MonitoringState:
    """The ports, which stay the same over restarts, and the processes that were started."""

    prometheus_port: int
    alertmanager_port: int
    lag_port: int
    processes: tuple[ProcessRef, ...] = ()

    @property
    def urls(self) -> dict[str, str]:
        """Where to look."""
        return {
            "prometheus": f"http://127.0.0.1:{self.prometheus_port}",
            "alertmanager": f"http://127.0.0.1:{self.alertmanager_port}",
            "lag": f"http://127.0.0.1:{self.lag_port}",
        }


class LocalMonitoring:
    """The monitoring of one state folder, running or not."""

    def __init__(self, home_path: Path) -> None:
        self._home = Home(home_path)
        self._folder = self._home.path / "monitoring"
        self._file = self._folder / "state.json"

    def up(self, env: Mapping[str, str], webhooks: Sequence[str] = ()) -> MonitoringState:
        """Start all three anew, with the settings of now. Raises ConfigError for a program that is not installed."""
        programs = {name: _program(name) for name in PROGRAMS}
        with self._home.lock():
            self._stop()
            prometheus, alertmanager, lag = find_ports(3)
            state = self._read() or MonitoringState(prometheus, alertmanager, lag)
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / "prometheus.yml").write_text(prometheus_config(state.lag_port, state.alertmanager_port))
            (self._folder / "alertmanager.yml").write_text(alertmanager_config(webhooks))
            started: list[ProcessRef] = []
            for name, command in self._commands(state, programs).items():
                marker = command[-1]
                started.append(daemons.spawn(command, marker, self._folder / f"{name}.log", env))
                state = MonitoringState(*self._ports(state), tuple(started))
                self._write(state)
            try:
                self._wait_ready(state)
            except Unavailable:
                self._stop()
                raise
        return state

    def down(self) -> bool:
        """Stop them; their data stays. False when none was running."""
        if not self._file.exists():
            return False
        with self._home.lock():
            return self._stop()

    def _stop(self) -> bool:
        state = self._read()
        running = [ref for ref in state.processes if ref.alive()] if state is not None else []
        daemons.terminate(running, STOP_S)
        if state is not None:
            self._write(MonitoringState(*self._ports(state)))
        return bool(running)

    def _commands(self, state: MonitoringState, programs: Mapping[str, str]) -> dict[str, list[str]]:
        """The last word of each is what its process is recognised by."""
        folder = self._folder
        return {
            "lag": [sys.executable, "-m", "infra.cli", "lag", "--serve", str(state.lag_port)],
            "alertmanager": [
                programs["alertmanager"],
                f"--config.file={folder / 'alertmanager.yml'}",
                f"--storage.path={folder / 'alertmanager'}",
                "--cluster.listen-address=",
                f"--web.listen-address=127.0.0.1:{state.alertmanager_port}",
            ],
            "prometheus": [
                programs["prometheus"],
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                "--storage.tsdb.retention.time=15d",
                f"--web.listen-address=127.0.0.1:{state.prometheus_port}",
            ],
        }

    def _wait_ready(self, state: MonitoringState) -> None:
        until = time.monotonic() + READY_S
        for name, port, path in (
            ("alertmanager", state.alertmanager_port, "/-/ready"),
            ("prometheus", state.prometheus_port, "/-/ready"),
            ("lag", state.lag_port, "/livez"),
        ):
            while http_get(port, path, 1.0)[0] != 200:
                if time.monotonic() > until or not all(ref.alive() for ref in state.processes):
                    log = self._folder / f"{name}.log"
                    raise Unavailable(
                        name, state.urls[name], f"it did not start; {log} says: {daemons.last_lines(log, 1)}"
                    )
                time.sleep(0.1)

    def _ports(self, state: MonitoringState) -> tuple[int, int, int]:
        return state.prometheus_port, state.alertmanager_port, state.lag_port

    def _read(self) -> MonitoringState | None:
        try:
            data = json.loads(self._file.read_text())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ConfigError(f"{self._file} is not readable ({error}): remove it") from error
        return MonitoringState(**{**data, "processes": tuple(ProcessRef(**one) for one in data["processes"])})

    def _write(self, state: MonitoringState) -> None:
        self._file.write_text(json.dumps(asdict(state)))


def _program(name: str) -> str:
    names, install = PROGRAMS[name]
    found = next((path for one in names if (path := shutil.which(one))), None)
    if found is None:
        raise ConfigError(f"{name} is not installed: {install}")
    return found
