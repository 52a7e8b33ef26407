"""`state.json`: the local services, their addresses and their pids. Replaced atomically; any process may read it.

It lists services that were started and not stopped, also when they have crashed since: an address that does not answer
makes a better error message than none. `sightline status` says which of them answer.
"""

import json
import os
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from infra.process.daemons import ProcessRef
from schemas.errors import ConfigError

_VERSION = 1


@dataclass(frozen=True, slots=True)
class BrokerState:
    """One broker. It keeps its ports while it is stopped (`process` is None then)."""

    broker_id: int
    client_port: int
    internal_port: int
    controller_port: int
    advertised_port: int
    process: ProcessRef | None = None


@dataclass(frozen=True, slots=True)
class ValkeyState:
    port: int
    process: ProcessRef | None = None


@dataclass(frozen=True, slots=True)
class LocalState:
    """The services of one state folder. Addresses are None for a service that was never started or was stopped."""

    cluster_id: str | None = None
    brokers: tuple[BrokerState, ...] = field(default=())
    valkey: ValkeyState | None = None

    @property
    def bootstrap_servers(self) -> str | None:
        """The addresses of all brokers that were started and not stopped."""
        running = [broker for broker in self.brokers if broker.process]
        return ",".join(f"127.0.0.1:{broker.advertised_port}" for broker in running) or None

    @property
    def redis_url(self) -> str | None:
        return f"redis://127.0.0.1:{self.valkey.port}/0" if self.valkey and self.valkey.process else None

    @property
    def pids(self) -> dict[str, int]:
        """`{"kafka-1": pid, ..., "valkey": pid}` of the services that were started and not stopped."""
        found = {f"kafka-{broker.broker_id}": broker.process.pid for broker in self.brokers if broker.process}
        if self.valkey and self.valkey.process:
            found["valkey"] = self.valkey.process.pid
        return found

    def with_broker(self, changed: BrokerState) -> "LocalState":
        brokers = tuple(changed if old.broker_id == changed.broker_id else old for old in self.brokers)
        return replace(self, brokers=brokers)


def read_state(home: Path) -> LocalState | None:
    """The state in that folder, or None when nothing was ever started there. Reads one file and asks no service."""
    file = home / "state.json"
    try:
        text = file.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return _from_json(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file} is not readable as the state of local services ({error!r}): remove it") from error


def write_state(home: Path, state: LocalState) -> None:
    """Replace the file atomically: a reader, or a crash, sees the old or the new state. The caller holds the lock."""
    home.mkdir(parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(dir=home, prefix=".state-", suffix=".json")
    try:
        with os.fdopen(fd, "w") as file:
            json.dump({"version": _VERSION, **asdict(state)}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(home / "state.json")
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _from_json(data: dict[str, Any]) -> LocalState:
    if data["version"] != _VERSION:
        raise ValueError(f"version {data['version']}")
    valkey = data["valkey"]
    return LocalState(
        cluster_id=data["cluster_id"],
        brokers=tuple(BrokerState(**{**broker, "process": _process(broker["process"])}) for broker in data["brokers"]),
        valkey=ValkeyState(valkey["port"], _process(valkey["process"])) if valkey else None,
    )


def _process(data: dict[str, Any] | None) -> ProcessRef | None:
    return ProcessRef(**data) if data else None
