"""The classic protocol takes the place of KIP-848 where the brokers do not have it, and then alone."""

import pytest
from confluent_kafka import KafkaError

from infra.kafka.consumer import CommitReport, PartitionFault
from infra.kafka.records import ConsumedRecord
from tests.support.member_clients import KIP_848, P0, Member, made, message, next_client, theirs

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
    consumer, refused = made(monkeypatch, **KIP_848, forced={"auto.offset.reset": "error"})
    member = Member(refused)
    consumer.subscribe(["labels"], member)
    client = next_client(monkeypatch)
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


def test_a_late_callback_of_the_client_that_was_given_up_reaches_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    commits, statistics = list[CommitReport](), list[str]()
    consumer, refused = made(monkeypatch, **KIP_848, on_commit=commits.append, on_statistics=statistics.append)
    member = Member(refused)
    consumer.subscribe(["labels"], member)
    client = next_client(monkeypatch)
    refused.messages.append(message(KafkaError(KafkaError._FATAL, HEARTBEAT)))
    assert consumer.poll(0) is None
    for name in ("on_assign", "on_revoke", "on_lost"):
        refused.callbacks[name](refused, theirs(P0))
    refused.config["on_commit"](None, [])
    refused.config["stats_cb"]("{}")
    assert (member.told, commits, statistics, client.calls) == ([], [], [], [])
    client.config["stats_cb"]("{}")
    assert statistics == ["{}"]


def test_a_member_that_was_given_partitions_does_not_fall_back(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer, client = made(monkeypatch, **KIP_848)
    consumer.subscribe(["labels"], Member(client))
    client.callbacks["on_assign"](client, theirs(P0))
    client.callbacks["on_revoke"](client, theirs(P0))
    client.messages.append(message(KafkaError(KafkaError._FATAL, HEARTBEAT)))
    found = consumer.poll(0)
    assert isinstance(found, PartitionFault) and found.fault.is_fatal
    assert consumer.group_protocol == "consumer"


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
