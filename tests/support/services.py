"""Real Kafka and Valkey for tests: a private state folder, jars shared with the checkout so that Maven runs once."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.local.home import Home
from tests.support.controlled_services import ControlledKafka, ControlledValkey
from tests.support.paths import ROOT

JARS_HOME = Home(ROOT / ".sightline")

KAFKA_VARIABLE = "SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS"
REDIS_VARIABLE = "SIGHTLINE_REDIS__URL"

# Waits until the test process has ended, in whatever way, then stops the services that it may have left behind.
_REAPER = """
import sys
from pathlib import Path
from infra.local import stack
sys.stdin.read()
stack.down(Path(sys.argv[1]), timeout_s=3.0)
"""


@dataclass(frozen=True)
class Services:
    """Addresses of a Kafka and a Redis; `kafka` and `valkey` are None where the tests did not start them."""

    bootstrap_servers: str
    redis_url: str
    home: Path
    kafka: ControlledKafka | None = None
    valkey: ControlledValkey | None = None


def external_services(home: Path) -> Services | None:
    """The services that the environment names, or None; both or neither must be named."""
    kafka, redis = os.environ.get(KAFKA_VARIABLE), os.environ.get(REDIS_VARIABLE)
    if bool(kafka) != bool(redis):
        raise RuntimeError(f"set both {KAFKA_VARIABLE} and {REDIS_VARIABLE} for the tests, or neither")
    return Services(kafka, redis, home) if kafka and redis else None


@contextmanager
def local_services(
    home_path: Path, brokers: int = 1, properties: Mapping[str, str] | None = None
) -> Iterator[Services]:
    """Start a Kafka of 1 or 3 brokers and a Valkey in that folder, and stop them at the end, also after an error."""
    home = Home(home_path)
    kafka = ControlledKafka(home, jars_home=JARS_HOME, properties=properties)
    valkey = ControlledValkey(home)
    with stopped_at_exit(home_path):
        try:
            valkey.start()
            kafka.start(brokers, timeout_s=180)
            yield Services(kafka.bootstrap_servers, valkey.url, home_path, kafka, valkey)
        finally:
            kafka.stop()
            valkey.stop()


@contextmanager
def stopped_at_exit(home_path: Path) -> Iterator[None]:
    """Stop the local services of that folder also when this process is killed (CI time limits, kill -9)."""
    command = [sys.executable, "-c", _REAPER, str(home_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, cwd=ROOT) as reaper:
        try:
            yield
        finally:
            # Closing its stdin ends it: the services are stopped already.
            assert reaper.stdin is not None
            reaper.stdin.close()


def share_jars(home_path: Path) -> None:
    """Link the checkout's jars into a private folder, so that a `sightline up` there does not fetch its own."""
    from infra.local.jars import fetch_jars, jars_dir

    with JARS_HOME.lock():
        jars = fetch_jars(JARS_HOME.path)
    target = jars_dir(home_path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(jars)
