"""A group member in terms of ours, over a client that does what the test says."""

import threading
from types import SimpleNamespace
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import KafkaError, KafkaException

from infra.kafka.consumer import CommitReport, GroupConsumer, PartitionFault
from infra.kafka.errors import FaultKind, KafkaFailure
from infra.kafka.records import ConsumedRecord
from infra.process.lifecycle import Deadline
from infra.settings import load_settings
from schemas.coordinates import TopicPartition
from schemas.errors import ConfigError

P0, P1 = TopicPartition("labels", 0), TopicPartition("labels", 1)


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


KIP_848 = {"defaults": {"group.protocol": "consumer"}}
COOPERATIVE = {"defaults": {"partition.assignment.strategy": "cooperative-sticky"}}
EAGER: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("keys", "takes", "gives"),
    [
        (KIP_848, "incremental_assign", "incremental_unassign"),
        (COOPERATIVE, "incremental_assign", "incremental_unassign"),
        (EAGER, "assign", "unassign"),
    ],
)
def test_a_share_is_taken_and_given_in_the_groups_own_protocol(
    monkeypatch: pytest.MonkeyPatch, keys: dict[str, Any], takes: str, gives: str
) -> None:
    consumer, client = made(monkeypatch, **keys)
    member = Member(client)
    consumer.subscribe(["labels"], member)
    client.callbacks["on_assign"](client, theirs(P0, P1))
    assert client.names() == [takes, "resume"]
    consumer.resume()
    assert client.calls[-1][0] == "resume"
    assert set(client.calls[-1][1]) == {P0, P1}
    client.callbacks["on_revoke"](client, theirs(P1))
    assert client.names()[-1] == gives
    client.callbacks["on_lost"](client, theirs(P0))
    consumer.resume()
    assert client.calls[-1] == ("resume", [])
    assert member.told == [("assign", [P0, P1]), ("revoke", [P1]), ("lost", [P0])]


HEARTBEAT = "Fatal error: Broker: API version not supported: ConsumerGroupHeartbeat failed"


@pytest.mark.parametrize(
    "refusal",
    [
        KafkaError(KafkaError._FATAL, HEARTBEAT),
        KafkaError(KafkaError.UNSUPPORTED_VERSION, fatal=True),
        KafkaError(KafkaError._UNSUPPORTED_FEATURE),
    ],
)
def test_brokers_that_refuse_kip_848_get_a_classic_member(monkeypatch: pytest.MonkeyPatch, refusal: KafkaError) -> None:
    classic = {"partition.assignment.strategy": "cooperative-sticky"}
    consumer, refused = made(monkeypatch, **KIP_848, classic_defaults=classic, forced={"auto.offset.reset": "error"})
    member = Member(refused)
    consumer.subscribe(["labels"], member)
    client = Client({})

    def make(config: dict[str, Any]) -> Client:
        client.config = config
        return client

    monkeypatch.setattr("confluent_kafka.Consumer", make)
    refused.messages.append(message(refusal))
    assert consumer.poll(0) is None
    assert consumer.group_protocol == "classic"
    assert "group.protocol" not in client.config
    assert (client.config["auto.offset.reset"], client.config["partition.assignment.strategy"]) == (
        "error",
        "cooperative-sticky",
    )
    client.messages.append(message())
    assert isinstance(consumer.poll(0), ConsumedRecord)
    client.callbacks["on_assign"](client, theirs(P0))
    assert client.names() == ["incremental_assign", "resume"]
    assert member.told == [("assign", [P0])]


@pytest.mark.parametrize(("knows", "protocol"), [(False, "classic"), (True, "consumer"), (None, "consumer")])
def test_brokers_that_do_not_know_kip_848_are_not_asked_for_it(
    monkeypatch: pytest.MonkeyPatch, knows: bool | None, protocol: str
) -> None:
    consumer, client = made(monkeypatch, **KIP_848, knows_kip_848=lambda: knows)
    assert consumer.group_protocol == protocol
    assert client.config.get("group.protocol", "classic") == protocol


def test_another_fatal_error_is_no_reason_for_another_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer, client = made(monkeypatch, **KIP_848)
    client.messages.append(message(KafkaError(KafkaError._FATAL, "Fatal error: Broker: Static consumer fenced")))
    found = consumer.poll(0)
    assert isinstance(found, PartitionFault) and found.fault.is_fatal


def test_a_pause_holds_for_partitions_that_come_later(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer, client = made(monkeypatch, **KIP_848)
    member = Member(client)
    consumer.subscribe(["labels"], member)
    consumer.pause()
    client.calls.clear()
    client.callbacks["on_assign"](client, theirs(P0))
    assert client.calls[-1] == ("pause", [P0])
    consumer.resume()
    assert client.calls[-1] == ("resume", [P0])
    assert not consumer.is_paused


def test_records_and_faults_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer, client = made(monkeypatch)
    client.messages = [
        message(),
        message(KafkaError(KafkaError._AUTO_OFFSET_RESET)),
        message(KafkaError(KafkaError._FATAL), None),
    ]
    assert consumer.poll(0) == ConsumedRecord("labels", 1, 5, 99, b"cam", b"value", [("a", b"b")])
    found = consumer.poll(0)
    assert isinstance(found, PartitionFault)
    assert (found.topic_partition, found.fault.kind) == (P1, FaultKind.NO_OFFSET)
    found = consumer.poll(0)
    assert isinstance(found, PartitionFault)
    assert found.fault.is_fatal
    assert consumer.poll(0) is None


def test_a_commit_that_fails_or_is_not_answered_in_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer, client = made(monkeypatch)
    assert consumer.commit_within({P0: 6}, Deadline(5)) is None
    assert client.calls == [("commit", [("labels", 0, 6)])]
    client.commit_error = KafkaError(KafkaError.ILLEGAL_GENERATION)
    failure = consumer.commit_within({P0: 7}, Deadline(5))
    assert failure is not None
    with pytest.raises(KafkaFailure):
        consumer.commit({P0: 7})
    with pytest.raises(KafkaFailure):
        consumer.commit_soon({P0: 7})
    client.committing.clear()
    assert consumer.commit_within({P0: 8}, Deadline(0.05)) == "no answer in time"
    client.committing.set()


def test_the_answer_to_a_commit_that_nobody_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[CommitReport] = []
    _, client = made(monkeypatch, on_commit=reports.append)
    stored = SimpleNamespace(topic="labels", partition=0, offset=6, error=None)
    refused = SimpleNamespace(topic="labels", partition=1, offset=9, error=KafkaError(KafkaError.ILLEGAL_GENERATION))
    client.config["on_commit"](None, [stored, refused])
    client.config["on_commit"](KafkaError(KafkaError._TIMED_OUT), [stored])
    assert reports[0].stored == {P0: 6}
    assert reports[0].fault is not None
    assert reports[1].stored == {}
    assert reports[1].fault is not None
    assert reports[1].fault.kind is FaultKind.PASSING


def test_an_offset_that_the_broker_does_not_tell_yet_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer, _ = made(monkeypatch)
    assert consumer.committed([P0, P1], 1.0) == {P0: 7}


def test_forced_keys_go_before_the_users_and_the_users_before_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_KAFKA__CONSUMER", '{"fetch.wait.max.ms": 7}')
    _, client = made(monkeypatch, defaults={"fetch.wait.max.ms": 1}, forced={"auto.offset.reset": "error"})
    assert client.config["fetch.wait.max.ms"] == 7
    assert client.config["auto.offset.reset"] == "error"


def test_which_records_are_read_and_committed_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    _, client = made(monkeypatch)
    assert client.config["auto.offset.reset"] == "earliest"
    assert (client.config["enable.auto.commit"], client.config["enable.auto.offset.store"]) == (False, False)


def test_a_key_for_all_clients_goes_before_the_defaults_of_a_consumer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "SIGHTLINE_KAFKA__CLIENT", '{"fetch.message.max.bytes": 9, "session.timeout.ms": 8, "client.rack": ""}'
    )
    _, client = made(monkeypatch, defaults={"session.timeout.ms": 1})
    assert (client.config["max.partition.fetch.bytes"], client.config["session.timeout.ms"]) == (9, 8)
    assert "client.rack" not in client.config, "an empty text is no value"
    monkeypatch.setenv("SIGHTLINE_KAFKA__CONSUMER", '{"max.partition.fetch.bytes": 10}')
    _, client = made(monkeypatch)
    assert client.config["max.partition.fetch.bytes"] == 10


def test_a_key_that_the_client_does_not_take_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match=r"no\.such\.key"):
        GroupConsumer(load_settings(), "group", defaults={"no.such.key": 1})
