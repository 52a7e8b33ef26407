"""Client keys that librdkafka does not take are the settings' fault, not Kafka's; and leaders that it remembers."""

from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, OffsetSpec

from infra.kafka.clients import admin, consumer, list_offsets
from infra.kafka.publisher import Publisher
from infra.kafka.reader import Reader
from infra.kafka.start_checks import require_kafka
from infra.settings import Settings, load_settings
from schemas.coordinates import TopicPartition
from schemas.errors import ConfigError

LABELS_0 = TopicPartition("labels", 0)


class Remembering:
    """An admin client as librdkafka's is: it asks the leader that it knows until it has listed the topics again."""

    def __init__(self) -> None:
        self._knows = False

    def list_topics(self, *, timeout: float) -> None:
        self._knows = True

    def list_offsets(self, places: dict[TopicPartition, OffsetSpec], **_: Any) -> dict[TopicPartition, Future[Any]]:
        answer = Future[Any]()
        if self._knows:
            answer.set_result(SimpleNamespace(offset=7, timestamp=-1))
        else:
            answer.set_exception(KafkaException(KafkaError(KafkaError.FENCED_LEADER_EPOCH)))
        return dict.fromkeys(places, answer)


def test_after_a_leader_that_is_none_any_more_the_next_one_is_asked() -> None:
    client, latest = cast(AdminClient, Remembering()), OffsetSpec.latest()  # type: ignore[no-untyped-call]
    with pytest.raises(KafkaException):
        list_offsets(client, [LABELS_0], latest, 1.0)
    assert list_offsets(client, [LABELS_0], latest, 1.0)[LABELS_0].offset == 7


MAKERS: list[Callable[[Settings], Any]] = [
    admin,
    require_kafka,
    Reader,
    Publisher,
    lambda settings: consumer(settings, "group"),
]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    "keys", [{"sasl.mechanizm": "PLAIN"}, {"security.protocol": "tls"}, {"ssl.ca.location": "/nowhere"}]
)
def test_a_wrong_client_key_is_told_by_its_table(make: Callable[[Settings], Any], keys: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"^kafka\.client or kafka\..*: "):
        make(load_settings({"kafka": {"client": {"security.protocol": "ssl", **keys}}}))


@pytest.mark.parametrize("keys", [{"acks": 1}, {"linger.ms": 500_000_000}, {"max.in.flight": 10}])
def test_a_wrong_producer_key_is_told_by_its_table(keys: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"^kafka\.client or kafka\.producer: "):
        Publisher(load_settings({"kafka": {"producer": keys}}))


@pytest.mark.parametrize("max_fetch_queue_bytes", [1_000, 2**29])
def test_a_fetch_queue_that_no_client_can_have_is_a_wrong_setting(max_fetch_queue_bytes: int) -> None:
    with pytest.raises(ConfigError, match=r"^kafka\.client or kafka\.consumer: "):
        Reader(load_settings({"kafka": {"max_fetch_queue_bytes": max_fetch_queue_bytes}}))
