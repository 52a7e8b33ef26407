"""The state folder: who may change it now, and which ports are free for it. Where it is: `infra.settings.home`."""

import fcntl
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import Unavailable

_LOCK_POLL_S = 0.1
_PORT_RANGE_FIRST = 15000
_DEFAULT_EPHEMERAL_FIRST = 32768


class Home:
    """One state folder. `lock()` keeps two `sightline up` (or a `down` between) from working at once."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._depth = 0
        self._thread_lock = threading.RLock()

    @property
    def state_file(self) -> Path:
        return self.path / "state.json"

    @contextmanager
    def lock(self, timeout_s: float = 300.0) -> Iterator[None]:
        """Exclusive over processes and threads, re-entrant within a thread; the kernel frees it at death."""
        with self._thread_lock:
            if self._depth:
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
                return
            self.path.mkdir(parents=True, exist_ok=True)
            with (self.path / "lock").open("a") as file:
                self._acquire(file.fileno(), timeout_s)
                self._depth = 1
                try:
                    yield
                finally:
                    self._depth = 0
                    fcntl.flock(file.fileno(), fcntl.LOCK_UN)

    def _acquire(self, fd: int, timeout_s: float) -> None:
        until = time.monotonic() + timeout_s
        while True:
            try:
                return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as taken:
                if time.monotonic() >= until:
                    hint = "another `sightline up` or `down` works on this folder; wait for it"
                    raise Unavailable("the lock of the local services", str(self.path), hint) from taken
                time.sleep(_LOCK_POLL_S)


def port_is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1 now. SO_REUSEADDR as the servers set it: TIME_WAIT is no obstacle."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def find_ports(count: int, taken: set[int] | None = None) -> list[int]:
    """Free ports below the range of outgoing connections, so that no client grabs one while its broker restarts."""
    found: list[int] = []
    candidates = random.SystemRandom().sample(range(_PORT_RANGE_FIRST, _ephemeral_first()), k=200 + 10 * count)
    for port in candidates:
        if len(found) == count:
            break
        if port not in (taken or ()) and port_is_free(port):
            found.append(port)
    if len(found) < count:
        raise Unavailable(
            "a free TCP port",
            "127.0.0.1",
            f"{count} ports are needed, {len(found)} were found",
        )
    return found


def _ephemeral_first() -> int:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        first = _DEFAULT_EPHEMERAL_FIRST
    return first if first >= _PORT_RANGE_FIRST + 5000 else _DEFAULT_EPHEMERAL_FIRST
