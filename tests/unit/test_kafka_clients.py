"""Client keys that librdkafka does not take are the settings' fault, not Kafka's."""

from collections.abc import Callable
from typing import Any

import pytest

from infra.kafka import admin, consumer, require_kafka
from infra.publisher import Publisher
from infra.reader import Reader
from infra.settings import Settings, load_settings
from schemas.errors import ConfigError

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
