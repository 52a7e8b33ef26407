"""Starts and stops both local services, for `sightline up` and `down`, the benchmarks and the tests."""

from collections.abc import Callable
from pathlib import Path

from infra.local.home import Home
from infra.local.kafka import LocalKafka
from infra.local.state import LocalState, read_state
from infra.local.valkey import LocalValkey


def up(home_path: Path, brokers: int | None = None, say: Callable[[str], None] = lambda _line: None) -> LocalState:
    """Start the services that do not run, and return where both listen. Two processes may call it at the same time.

    `say` gets a line before each step that takes seconds. The first call fetches Kafka with Maven.
    """
    home = Home(home_path)
    with home.lock():
        say("starting Valkey")
        LocalValkey(home).start()
        say("starting Kafka (the first start fetches it with Maven)")
        LocalKafka(home).start(brokers)
        state = read_state(home.path)
    assert state is not None
    return state


def down(home_path: Path, timeout_s: float = 8.0) -> bool:
    """Stop both within about `timeout_s`; their data stays on disk. False when none was running."""
    home = Home(home_path)
    if not home.state_file.exists():
        return False
    with home.lock():
        before = read_state(home.path)
        LocalKafka(home).stop(timeout_s)
        LocalValkey(home).stop(2.0)
    return bool(before and before.pids)
