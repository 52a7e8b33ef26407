"""The Kafka and Valkey of a demo: running ones are used; missing ones are started, and stopped at the end."""

import fcntl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.local.home import Home
from infra.local.kafka import LocalKafka
from infra.local.state import read_state
from infra.local.valkey import LocalValkey
from infra.process.daemons import ProcessRef
from infra.process.lifecycle import Stop
from infra.settings import Settings
from schemas.errors import ConfigError, SightlineError

Say = Callable[[str], None]

# A process that waits for the end of the demo. If the demo ends without stopping its services (kill -9), it stops them.
_REAPER = """
import sys
from pathlib import Path
if sys.stdin.read() != "stopped":
    from sinks.demo.services import stop_services
    stop_services(Path(sys.argv[1]), sys.argv[2:], 5.0)
"""


@contextmanager
def local_services(
    settings: Settings, home: Path, say: Say, stop: Stop, stop_budget_s: Callable[[], float]
) -> Iterator[bool]:
    """Provide Kafka and Valkey for the duration of the block: those of the settings, or local ones.

    Yields whether a service was started. `stop_budget_s` is called at the end and returns how long stopping may take.
    Raises SightlineError when `stop` is set before all services have started.
    """
    started = _missing(settings, home)
    with _only_one(home):
        if not started:
            yield False
            return
        with subprocess.Popen(
            [sys.executable, "-P", "-c", _REAPER, str(home), *started],
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
        ) as reaper:
            assert reaper.stdin is not None
            try:
                stop.unless_stopped(lambda: _start(home, started, say))
                if stop.is_set():
                    raise SightlineError("stopped before the services had started")
                yield True
            finally:
                say(f"stopping {' and '.join(started)}")
                stop_services(home, started, stop_budget_s())
                reaper.stdin.write("stopped")
                reaper.stdin.close()


def stop_services(home: Path, names: list[str], timeout_s: float) -> None:
    """Stop the services in `names`, which can be `Kafka` and `Valkey`."""
    if "Valkey" in names:
        LocalValkey(Home(home)).stop(1.0)
    if "Kafka" in names:
        LocalKafka(Home(home)).stop(timeout_s)


def _missing(settings: Settings, home: Path) -> list[str]:
    """The services that the settings do not name and that do not run locally."""
    state = read_state(home)
    missing = []
    if not settings.kafka.bootstrap_servers and not _all_alive(
        [broker.process for broker in state.brokers] if state else []
    ):
        missing.append("Kafka")
    if not settings.redis.url.get_secret_value() and not _all_alive(
        [state.valkey.process] if state and state.valkey else []
    ):
        missing.append("Valkey")
    return missing


def _all_alive(processes: list[ProcessRef | None]) -> bool:
    return bool(processes) and all(process is not None and process.alive() for process in processes)


def _start(home: Path, names: list[str], say: Say) -> None:
    if "Valkey" in names:
        say("starting Valkey")
        LocalValkey(Home(home)).start()
    if "Kafka" in names:
        say("starting Kafka (the first start downloads it with Maven)")
        LocalKafka(Home(home)).start()


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    home.mkdir(parents=True, exist_ok=True)
    with (home / "demo.lock").open("a") as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "wait for it, or set SIGHTLINE_HOME to another folder"
            raise ConfigError(f"another `sightline demo` runs in {home}: {hint}") from None
        yield
