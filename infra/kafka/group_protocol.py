"""The client keys of the two group protocols: the classic one, which every broker speaks, and KIP-848 (Kafka 4.0)."""

from typing import Literal

from infra.kafka.clients import Keys, consumer_config
from infra.kafka.key_values import given_keys
from infra.settings import Settings

GroupProtocol = Literal["consumer", "classic"]
# Keys that have a meaning with KIP-848 only.
KIP_848_KEYS = ("group.protocol", "group.remote.assignor")


def protocol_of(config: Keys) -> GroupProtocol:
    return "consumer" if config.get("group.protocol") == "consumer" else "classic"


def is_incremental(config: Keys) -> bool:
    """Whether a rebalance announces what changes, and not the whole share."""
    return protocol_of(config) == "consumer" or "cooperative" in str(config.get("partition.assignment.strategy", ""))


def classic_config(settings: Settings, group_id: str, defaults: Keys, forced: Keys) -> Keys:
    """The keys of a member for brokers that do not have KIP-848, in the order of `GroupConsumer`."""
    given = given_keys(settings.kafka.client, settings.kafka.consumer)
    unset = {key: value for key, value in defaults.items() if key not in given}
    config = consumer_config(settings, group_id, **{**unset, **forced})
    for key in KIP_848_KEYS:
        config.pop(key, None)
    return config
