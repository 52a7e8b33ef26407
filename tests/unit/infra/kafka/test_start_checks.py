"""What a command asks Kafka for at its start, and how often."""

from types import SimpleNamespace
from typing import Any

import pytest

from infra.kafka import start_checks
from infra.kafka.start_checks import require_topics
from infra.settings import load_settings
from schemas.errors import Unavailable


class Broker:
    """Has the topics `labels` and `labels.dead`; counts clients and metadata requests."""

    def __init__(self) -> None:
        self.clients = self.requests = 0
        self.groups: list[tuple[str, str]] = []

    def admin(self, _settings: Any) -> "Broker":
        self.clients += 1
        return self

    def list_topics(self, *, timeout: float) -> Any:
        self.requests += 1
        return SimpleNamespace(brokers={}, topics={"labels": None, "labels.dead": None})

    def missing_topic_rights(self, *_: Any) -> list[str]:
        return []

    def missing_group_right(self, consumer: Any, topic: str, group: str, _timeout_s: float) -> list[str]:
        assert consumer.keys["isolation.level"] == "read_uncommitted"
        self.groups.append((group, topic))
        return [f"Read on group {group}"] if group == "foreign" else []


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()
    for name in ("admin", "missing_topic_rights", "missing_group_right"):
        monkeypatch.setattr(start_checks, name, getattr(made, name))
    monkeypatch.setattr(start_checks, "consumer", lambda *_, **keys: SimpleNamespace(keys=keys, close=lambda: None))
    return made


def test_one_client_asks_once_for_everything_and_for_every_group(broker: Broker) -> None:
    groups = {"sink": "labels", "other": "labels.dead"}
    require_topics(load_settings(), reads=["labels"], writes=["labels.dead"], groups=groups)
    assert (broker.clients, broker.requests) == (1, 1)
    assert broker.groups == list(groups.items())


def test_the_right_on_any_of_the_groups_is_wanted(broker: Broker) -> None:
    with pytest.raises(Unavailable, match="the right Read on group foreign is missing"):
        require_topics(load_settings(), reads=["labels"], groups={"sink": "labels", "foreign": "labels"})


def test_missing_topics_are_named(broker: Broker) -> None:
    with pytest.raises(Unavailable, match=r"has no topic frames\.raw, frames\.dead\. Create them"):
        require_topics(load_settings(), reads=["labels", "frames.raw"], writes=["frames.dead", "frames.raw"])
