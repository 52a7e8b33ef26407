"""Brokers that can do less than ours, and addresses that lead nowhere: told at once, with the address."""

import socket
from collections.abc import Iterator
from functools import partial

import pytest

from infra.kafka.api_versions import knows_kip_848
from infra.kafka.brokers import find_brokers
from infra.kafka.consumer import GroupConsumer
from infra.kafka.listeners import unreachable_brokers
from infra.kafka.membership import Membership
from infra.kafka.start_checks import require_kafka, require_topics
from infra.process.lifecycle import Deadline
from infra.settings import Settings, load_settings
from schemas.coordinates import TopicPartition
from schemas.errors import Unavailable
from tests.support.old_broker import OldBroker


def settings_of(broker: OldBroker, **kafka: object) -> Settings:
    return load_settings({"kafka": {"bootstrap_servers": broker.bootstrap, "start_timeout_ms": 3_000, **kafka}})


class Nobody:
    def on_assign(self, partitions: list[TopicPartition]) -> None: ...

    def on_revoke(self, partitions: list[TopicPartition]) -> None: ...

    def on_lost(self, partitions: list[TopicPartition]) -> None: ...


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        yield taken.getsockname()[1]


def test_a_broker_without_kip_848_gets_a_classic_member() -> None:
    with OldBroker() as broker:
        settings = settings_of(broker)
        assert knows_kip_848(settings) is False
        member = GroupConsumer(
            settings,
            "group",
            membership=Membership("consumer"),
            knows_kip_848=partial(knows_kip_848, settings),
        )
        member.subscribe(["labels"], Nobody())
        deadline = Deadline(20)
        while not broker.joined.is_set() and not deadline.expired():
            member.poll(0.1)
        assert member.group_protocol == "classic"
        assert b"cooperative-sticky" in broker.join_requests[0]
        member.close_within(Deadline(0.5))


def test_a_broker_that_tells_no_rights_grants_them() -> None:
    with OldBroker() as broker:
        require_kafka(settings_of(broker))
        require_topics(settings_of(broker), reads=["labels"], writes=["labels"])
        with pytest.raises(Unavailable, match=r"has no topic frames\.raw\. Create them with"):
            require_topics(settings_of(broker), reads=["labels", "frames.raw"])


def test_an_address_that_does_not_resolve_is_named_instead_of_a_time_out() -> None:
    with OldBroker(("kafka.invalid", 9092)) as broker:
        settings = settings_of(broker)
        found = find_brokers(settings)
        assert found.answer and not found.are_usable
        with pytest.raises(Unavailable) as refusal:
            require_kafka(settings)
    words = str(refusal.value)
    assert words.startswith(f"Kafka at {broker.bootstrap} answers, but broker 1 advertises kafka.invalid:9092")
    assert "does not resolve" in words and "advertised.listeners" in words


def test_an_address_that_refuses_is_named(closed_port: int) -> None:
    with (
        OldBroker(("127.0.0.1", closed_port)) as broker,
        pytest.raises(Unavailable, match=f"advertises 127.0.0.1:{closed_port}, which refuses connections"),
    ):
        require_kafka(settings_of(broker))


def test_one_broker_of_two_that_is_away_keeps_no_command_from_its_start(closed_port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        places = {1: ("127.0.0.1", listening.getsockname()[1]), 2: ("127.0.0.1", closed_port)}
        found = unreachable_brokers(places, {})
    assert [(one.broker_id, one.reason) for one in found] == [(2, "refuses connections")]
