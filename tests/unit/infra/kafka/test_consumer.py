"""A group member in terms of ours, over a client that does what the test says."""

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from infra.kafka.consumer import CommitReport, GroupConsumer, PartitionFault
from infra.kafka.errors import FaultKind, KafkaFailure
from infra.kafka.membership import Membership
from infra.kafka.records import ConsumedRecord
from infra.process.lifecycle import Deadline
from infra.settings import load_settings
from schemas.errors import ConfigError
from tests.support.member_clients import KIP_848, P0, P1, Member, made, message, theirs

COOPERATIVE = {"membership": Membership()}
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


def test_a_partition_that_the_client_does_not_know_yet_is_learnt_of(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer, client = made(monkeypatch)

    def look_up(_place: Any, _timeout_s: float) -> tuple[int, int]:
        if not client.known:
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))
        return (0, 9)

    client.get_watermark_offsets = look_up
    assert consumer.log_range(P1, 1.0) == (0, 9)
    assert client.known == ["labels"]
    client.known.clear()
    client.is_away = True
    with pytest.raises(KafkaFailure):
        consumer.log_range(P1, 1.0)


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
