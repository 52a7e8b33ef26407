"""A real Kafka on this machine: 1 or 3 nodes, each broker and controller in a JVM of its own."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from infra.kafka.brokers import answering_brokers
from infra.local.broker_config import broker_properties, to_text
from infra.local.home import Home
from infra.local.jars import fetch_jars, require_java, require_openable
from infra.local.layout import new_layout, with_free_ports
from infra.local.state import BrokerState, LocalState, read_state, write_state
from infra.process import daemons
from infra.process.ports import port_is_free
from schemas.errors import ConfigError, Unavailable

_LOG4J = Path(__file__).parent / "kafka" / "log4j2.properties"
_POLL_S = 0.2
# The broker shares a few cores with its clients: with these it takes a third of the CPU time of the defaults (G1, C2).
_SMALL_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
# Java reads the names of files by the locale. Of the home it sees relative names only (`_place`), for what a comma, a
# colon or a backslash means in `log.dirs`, in a class path and in log4j.
_LOCALE = {"LC_ALL": "C.UTF-8"}
_PROPERTIES, _LOG_SETTINGS, _JARS = "server.properties", "log4j2.properties", "jars"


class LocalKafka:
    """The Kafka of one state folder, running or not. Processes may share it: the home's lock orders their changes.

    `jars_home` is the state folder whose jars it uses (default: its own), `properties` overrides settings of every
    broker. No method here loses an acknowledged record.
    """

    _heap_mib = 512

    def __init__(
        self, home: Home, *, jars_home: Home | None = None, properties: Mapping[str, str] | None = None
    ) -> None:
        self._home = home
        # For the same folder the same object: its lock is re-entrant within one object only.
        self._jars_home = jars_home if jars_home is not None and jars_home.path != home.path else home
        self._overrides = dict(properties or {})

    # -- state

    @property
    def brokers(self) -> tuple[BrokerState, ...]:
        return self._state().brokers

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect: every broker, also one that is stopped. Empty before `prepare`."""
        return ",".join(f"127.0.0.1:{broker.advertised_port}" for broker in self.brokers)

    def broker(self, broker_id: int) -> BrokerState:
        for broker in self.brokers:
            if broker.broker_id == broker_id:
                return broker
        raise ConfigError(f"there is no broker {broker_id} in {self._home.path}")

    def pid(self, broker_id: int) -> int | None:
        """The pid of the broker, or None when it does not run (stopped or crashed)."""
        ref = self.broker(broker_id).process
        return ref.pid if ref and ref.alive() else None

    def folder(self, broker_id: int) -> Path:
        """The broker's own folder: server.properties, server.log, data."""
        return self._home.path / "kafka" / f"broker-{broker_id}"

    # -- the whole cluster

    def prepare(self, brokers: int | None = None) -> None:
        """Choose the number of brokers and their ports, and start nothing. None keeps the number, at first one."""
        with self._home.lock():
            state = self._state()
            if not state.brokers:
                state = new_layout(state, 1 if brokers is None else brokers)
            elif brokers not in (None, len(state.brokers)):
                raise ConfigError(
                    f"{self._home.path} holds a Kafka of {len(state.brokers)} broker(s), not {brokers}: "
                    "set SIGHTLINE_HOME to another folder, or run `sightline down` and remove this one"
                )
            write_state(self._home.path, with_free_ports(self._adopt(state)))

    def start(self, brokers: int | None = None, timeout_s: float = 90.0) -> None:
        """Start the brokers that do not run, and wait until all answer. On failure stop those that were started."""
        with self._home.lock():
            self.prepare(brokers)
            missing = [broker.broker_id for broker in self.brokers if self.pid(broker.broker_id) is None]
            self._format(missing)
            try:
                for broker_id in missing:
                    self._spawn(broker_id)
                self.wait_ready(timeout_s=timeout_s)
            except BaseException:
                # Also on Ctrl-C: no half-started cluster is left behind.
                self._stop(missing, timeout_s=2.0)
                raise

    def stop(self, timeout_s: float = 8.0) -> None:
        """Stop all: SIGTERM, and after `timeout_s` SIGKILL; a killed broker checks its log at the next start."""
        with self._home.lock():
            state = self._adopt(self._state())
            write_state(self._home.path, state)
            self._stop([broker.broker_id for broker in state.brokers], timeout_s)

    def wait_ready(self, broker_ids: Sequence[int] | None = None, timeout_s: float = 90.0) -> None:
        """Until each of these brokers answers a metadata request with an answer that lists all of them."""
        wanted = {broker.broker_id for broker in self.brokers} if broker_ids is None else set(broker_ids)
        until = time.monotonic() + timeout_s
        for broker_id in sorted(wanted):
            port = self.broker(broker_id).client_port
            while not wanted <= answering_brokers(f"127.0.0.1:{port}", timeout_s=1.0):
                if self.pid(broker_id) is None:
                    raise self._not_ready(broker_id, "it ended while starting")
                if time.monotonic() > until:
                    raise self._not_ready(broker_id, f"not ready after {timeout_s:g} s")
                time.sleep(_POLL_S)

    # -- details

    def _state(self) -> LocalState:
        return read_state(self._home.path) or LocalState()

    def _write(self, broker: BrokerState) -> None:
        write_state(self._home.path, self._state().with_broker(broker))

    def _marker(self, broker_id: int) -> str:
        """A word of the broker's command line that no other program has."""
        return f"-Dsightline.broker={self.folder(broker_id)}"

    def _adopt(self, state: LocalState) -> LocalState:
        """Forget processes that have ended; find brokers whose starter was killed before it wrote their pids down."""
        for broker in state.brokers:
            if broker.process is None or not broker.process.alive():
                found = daemons.find(self._marker(broker.broker_id), "java")
                state = state.with_broker(replace(broker, process=found))
        return state

    def _data_dir(self, broker_id: int) -> Path:
        return self.folder(broker_id) / "data"

    def _properties(self, broker_id: int) -> dict[str, str]:
        """The settings of the broker, as they are written to its file."""
        brokers, folder, data = self._state().brokers, self.folder(broker_id), self._data_dir(broker_id)
        place = data.relative_to(folder) if data.is_relative_to(folder) else data
        return {**broker_properties(self.broker(broker_id), brokers, Path(), place), **self._overrides}

    def _place(self, broker_id: int) -> Path:
        """The broker's working directory, with all that its command names in it."""
        folder = self.folder(broker_id)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _PROPERTIES).write_text(to_text(self._properties(broker_id)), encoding="ascii")
        (folder / _LOG_SETTINGS).write_bytes(_LOG4J.read_bytes())
        jars, link = self._jars(), folder / _JARS
        for each in (folder, jars):
            require_openable(each)
        if not link.is_symlink() or link.readlink() != jars:
            link.unlink(missing_ok=True)
            link.symlink_to(jars)
        return folder

    def _format(self, broker_ids: Sequence[int]) -> None:
        """Write the brokers' settings, and format each new data folder once: that ties it to this cluster."""
        java, state = require_java(), self._state()
        running: list[subprocess.Popen[str]] = []
        for broker_id in broker_ids:
            place, data = self._place(broker_id), self._data_dir(broker_id)
            if all((folder / "meta.properties").exists() for folder in (data, place / "metadata")):
                continue
            command = [java, "-Xmx128m", *_SMALL_JVM, "-cp", f"{_JARS}/*"]
            command += ["kafka.tools.StorageTool", "format", "--ignore-formatted"]
            # One id in 64 begins with a dash: after a space it would be read as an option, after `=` it is not.
            command += [f"--cluster-id={state.cluster_id}", "--config", _PROPERTIES]
            running.append(
                subprocess.Popen(
                    command,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    encoding="utf-8",
                    errors="replace",
                    env={**os.environ, **_LOCALE},
                    cwd=place,
                )
            )
        failed = [output for child in running for output in [child.communicate()[0]] if child.returncode]
        if failed:
            raise Unavailable(
                "Kafka's data folder", str(self._home.path), f"it could not be formatted: {failed[0].strip()}"
            )

    def _jars(self) -> Path:
        with self._jars_home.lock():
            return fetch_jars(self._jars_home.path)

    def _spawn(self, broker_id: int) -> None:
        broker, folder = self.broker(broker_id), self.folder(broker_id)
        for port in (broker.client_port, broker.internal_port, broker.controller_port):
            if not port_is_free(port):
                raise Unavailable("a port of the local Kafka", f"127.0.0.1:{port}", "another program has taken it")
        marker = self._marker(broker_id)
        command = [
            require_java(),
            marker,
            f"-Xmx{self._heap_mib}m",
            *_SMALL_JVM,
            # A broker without memory must end at once instead of answering some requests only.
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile=./{_LOG_SETTINGS}",
            "-Dsightline.log.dir=.",
            "-cp",
            f"{_JARS}/*",
            "kafka.Kafka",
            _PROPERTIES,
        ]
        process = daemons.spawn(command, marker, folder / "console.log", {**os.environ, **_LOCALE})
        self._write(replace(broker, process=process))

    def _stop(self, broker_ids: Sequence[int], timeout_s: float) -> None:
        refs = [ref for broker_id in broker_ids if (ref := self.broker(broker_id).process)]
        daemons.terminate(refs, timeout_s)
        for broker_id in broker_ids:
            self._write(replace(self.broker(broker_id), process=None))

    def _not_ready(self, broker_id: int, why: str) -> Unavailable:
        folder = self.folder(broker_id)
        cause = cause_in_log(daemons.last_lines(folder / "server.log", 400)) or daemons.last_lines(
            folder / "console.log", 3
        )
        address = f"127.0.0.1:{self.broker(broker_id).client_port}"
        return Unavailable(f"broker {broker_id}", address, f"{why}; {folder / 'server.log'} says: {cause}")


def cause_in_log(log: str) -> str:
    """The last line of a broker's log that reports an error, else its last line."""
    lines = log.splitlines()
    errors = [line for line in lines if " ERROR " in line or " FATAL " in line]
    return (errors or lines or [""])[-1]
