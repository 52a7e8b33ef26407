"""A group member in terms of ours, over a client that does what the test says."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError
from structlog.testing import capture_logs

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


def test_forced_keys_go_before_the_users_and_the_users_before_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_KAFKA__CONSUMER", '{"fetch.wait.max.ms": 7, "auto.offset.reset": "latest"}')
    _, client = made(monkeypatch, defaults={"fetch.wait.max.ms": 1}, forced={"auto.offset.reset": "error"})
    assert client.config["fetch.wait.max.ms"] == 7
    assert client.config["auto.offset.reset"] == "error"


KEYS_THAT_SKIP = {
    "auto.offset.reset": "latest",
    "topic.auto.offset.reset": "latest",
    "auto.commit.enable": True,
    "enable.auto.commit": True,
    "enable.auto.offset.store": True,
}


@pytest.mark.parametrize("table", ["CLIENT", "CONSUMER"])
@pytest.mark.parametrize("key", KEYS_THAT_SKIP)
def test_no_setting_decides_which_records_are_read_or_committed(
    monkeypatch: pytest.MonkeyPatch, table: str, key: str
) -> None:
    monkeypatch.setenv(f"SIGHTLINE_KAFKA__{table}", json.dumps({key: KEYS_THAT_SKIP[key]}))
    with capture_logs() as lines:
        _, client = made(monkeypatch)
    assert client.config["auto.offset.reset"] == "earliest"
    assert (client.config["enable.auto.commit"], client.config["enable.auto.offset.store"]) == (False, False)
    assert not client.config.keys() & {"topic.auto.offset.reset", "auto.commit.enable"}
    (told,) = [line for line in lines if "have no effect" in line["event"]]
    assert (told["keys"], told["group"]) == ([key], "group")


def test_nothing_is_told_where_nothing_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_KAFKA__CONSUMER", '{"fetch.wait.max.ms": 7}')
    with capture_logs() as lines:
        made(monkeypatch)
    assert lines == []


def test_a_key_that_the_client_does_not_take_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match=r"no\.such\.key"):
        GroupConsumer(load_settings(), "group", defaults={"no.such.key": 1})
