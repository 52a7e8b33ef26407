"""The client behind a group member, which does what the test says and keeps what it is asked."""

import threading
from types import SimpleNamespace
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import KafkaError, KafkaException

from infra.kafka.consumer import GroupConsumer
from infra.kafka.membership import Membership
from infra.settings import load_settings
from schemas.coordinates import TopicPartition

P0, P1 = TopicPartition("labels", 0), TopicPartition("labels", 1)
KIP_848 = {"membership": Membership("consumer")}


class Client:
    """Keeps the calls by name; `messages` come from `poll`, `answer` from commits."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config, self.calls = config, list[tuple[str, Any]]()
        self.messages: list[Any] = []
        self.commit_error: KafkaError | None = None
        self.committing = threading.Event()
        self.committing.set()

    def subscribe(self, topics: list[str], **callbacks: Any) -> None:
        self.callbacks = callbacks

    def poll(self, timeout: float) -> Any:
        return self.messages.pop(0) if self.messages else None

    def commit(self, offsets: list[Any], asynchronous: bool) -> list[Any]:
        self.committing.wait(10)
        if self.commit_error is not None:
            raise KafkaException(self.commit_error)
        self.calls.append(("commit", [(one.topic, one.partition, one.offset) for one in offsets]))
        return [SimpleNamespace(error=None) for _ in offsets]

    def committed(self, partitions: list[Any], timeout: float) -> list[Any]:
        undecided = KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT)
        return [
            SimpleNamespace(
                topic=one.topic, partition=one.partition, offset=7, error=undecided if one.partition else None
            )
            for one in partitions
        ]

    def __getattr__(self, name: str) -> Any:
        def call(*partitions: list[Any]) -> None:
            self.calls.append((name, [(one.topic, one.partition) for found in partitions for one in found]))

        return call

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


class Member:
    """What the rebalance callbacks were told, in order."""

    def __init__(self, client: Client) -> None:
        self._client, self.told = client, list[tuple[str, list[TopicPartition]]]()

    def on_assign(self, partitions: list[TopicPartition]) -> None:
        assert "assign" not in "".join(self._client.names()), "the owner knows before anything is read"
        self.told.append(("assign", partitions))

    def on_revoke(self, partitions: list[TopicPartition]) -> None:
        self.told.append(("revoke", partitions))

    def on_lost(self, partitions: list[TopicPartition]) -> None:
        self.told.append(("lost", partitions))


def made(monkeypatch: pytest.MonkeyPatch, **kinds: Any) -> tuple[GroupConsumer, Client]:
    clients: list[Client] = []

    def make(config: dict[str, Any]) -> Client:
        clients.append(Client(config))
        return clients[0]

    monkeypatch.setattr("confluent_kafka.Consumer", make)
    consumer = GroupConsumer(load_settings({"kafka": {"bootstrap_servers": "127.0.0.1:1"}}), "group", **kinds)
    return consumer, clients[0]


def theirs(*partitions: TopicPartition) -> list[Any]:
    return [confluent_kafka.TopicPartition(*one) for one in partitions]


def message(error: KafkaError | None = None, partition: int | None = 1, offset: int | None = 5) -> Any:
    return SimpleNamespace(
        error=lambda: error, topic=lambda: "labels", partition=lambda: partition, offset=lambda: offset,
        timestamp=lambda: (1, 99), key=lambda: b"cam", value=lambda: b"value", headers=lambda: [("a", b"b")],
    )  # fmt: skip


def next_client(monkeypatch: pytest.MonkeyPatch) -> Client:
    """The one that is made next."""
    client = Client({})

    def make(config: dict[str, Any]) -> Client:
        client.config = config
        return client

    monkeypatch.setattr("confluent_kafka.Consumer", make)
    return client
