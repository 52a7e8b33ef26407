"""Whether the configured client keys can be used, found out before anything is opened: by making each client once."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import confluent_kafka
from confluent_kafka.admin import AdminClient

from infra.kafka.clients import Keys, admin_config, consumer_config, new_client, producer_config
from infra.kafka.stage_keys import stage_faults
from infra.settings import Settings
from schemas.errors import ConfigError

CHECK_GROUP = "sightline-check"
# What tells apart the sentences of clients that do not take the same key.
_CLIENT = re.compile(r"^kafka\.client or kafka\.\w+: (Failed to create [\w ]+: )?")
_KEY = re.compile(r'"([a-z0-9._]+)"')


def client_faults(settings: Settings) -> list[str]:
    """A sentence for each key that librdkafka does not take, reading the files that keys name. Connects to nothing."""
    causes = dict[str, str]()
    for fault in _librdkafka_faults(settings):
        causes.setdefault(_CLIENT.sub("", fault), fault)
    return list(causes.values())


def key_faults(settings: Settings) -> list[str]:
    """`client_faults`, and a sentence for each further key that the stream stage's client does not take."""
    faults = client_faults(settings)
    said = " ".join(faults)
    return faults + [fault for fault in stage_faults(settings) if not any(key in said for key in _KEY.findall(fault))]


def _librdkafka_faults(settings: Settings) -> Iterator[str]:
    """Clients without a broker: they check their keys and wait."""
    clients: list[tuple[Callable[[Keys], Any], Keys, str]] = [
        (AdminClient, admin_config(settings), "kafka.client or kafka.admin"),
        (confluent_kafka.Consumer, consumer_config(settings, CHECK_GROUP), "kafka.client or kafka.consumer"),
        (confluent_kafka.Producer, producer_config(settings), "kafka.client or kafka.producer"),
    ]
    for make, keys, tables in clients:
        try:
            new_client(make, {**keys, "bootstrap.servers": "", "log_level": 0, "logger": _SILENT}, tables)
        except ConfigError as error:
            yield from error.faults


class _Silent:
    def log(self, *_: object) -> None:
        pass


_SILENT = _Silent()
