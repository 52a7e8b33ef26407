"""The state folder of the local services, and the lock on it. `infra.settings.home` says where the folder is."""

import fcntl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.process.ports import find_ports
from schemas.errors import Unavailable

# `find_ports` also from here: scripts that start a broker of their own beside ours import both from one place.
__all__ = ["Home", "find_ports"]

_LOCK_POLL_S = 0.1


class Home:
    """One state folder. `lock()` keeps two commands (`sightline up`, `down`) from changing the services at once."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._depth = 0
        self._thread_lock = threading.RLock()

    @property
    def state_file(self) -> Path:
        return self.path / "state.json"

    @contextmanager
    def lock(self, timeout_s: float = 300.0) -> Iterator[None]:
        """Exclusive among processes and threads, re-entrant in a thread; the kernel releases it when a process dies."""
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
