"""Both local services as one: what `sightline up`, `down`, `status`, `demo` and the tests call."""

from collections.abc import Callable
from pathlib import Path

from infra.local.home import Home
from infra.local.kafka_cluster import LocalKafka
from infra.local.state import LocalState, read_state
from infra.local.valkey import LocalValkey


def up(home_path: Path, brokers: int | None = None, say: Callable[[str], None] = lambda _line: None) -> LocalState:
    """Start what is not running and return where it listens. Safe to call twice, also at once from two processes.

    `say` gets a line before each step that takes seconds. The first call fetches Kafka by Maven.
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
    """Stop what runs, within about `timeout_s`; what it holds stays on disk. False when there was nothing to stop."""
    home = Home(home_path)
    if not home.state_file.exists():
        return False
    with home.lock():
        before = read_state(home.path)
        LocalKafka(home).stop(timeout_s)
        LocalValkey(home).stop(2.0)
    return bool(before and before.pids)
