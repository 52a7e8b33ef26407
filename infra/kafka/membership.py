"""How a process takes part in its consumer group, and the client's keys for it in both group protocols.

The classic protocol, which every broker speaks, and KIP-848 (`consumer`, Kafka 4.0). In KIP-848 the broker decides
session time-outs and assignment, and librdkafka refuses their keys.
"""

from dataclasses import dataclass, replace
from typing import Literal

from infra.kafka.clients import Keys, consumer_config
from infra.kafka.statistics import STATISTICS_MS
from infra.settings import Settings

GroupProtocol = Literal["consumer", "classic"]
# Keys that have a meaning with KIP-848 only.
KIP_848_KEYS = ("group.protocol", "group.remote.assignor")


@dataclass(frozen=True, slots=True)
class Membership:
    """`group_instance_id`: static membership, so that a restart within the session time-out moves no partition.

    In both protocols a rebalance interrupts only the partitions that move.
    """

    group_protocol: GroupProtocol = "classic"
    session_timeout_ms: int = 6_000
    max_poll_interval_ms: int = 300_000
    group_instance_id: str = ""


def membership_keys(membership: Membership) -> Keys:
    """The keys of a member; its statistics tell whether it stands by without a partition."""
    common: Keys = {
        "group.protocol": membership.group_protocol,
        "max.poll.interval.ms": membership.max_poll_interval_ms,
        "statistics.interval.ms": STATISTICS_MS,
    }
    if membership.group_instance_id:
        common["group.instance.id"] = membership.group_instance_id
    if membership.group_protocol == "consumer":
        return common
    session_timeout_ms = min(membership.session_timeout_ms, membership.max_poll_interval_ms)
    return {
        **common,
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": session_timeout_ms,
        "heartbeat.interval.ms": session_timeout_ms // 3,
    }


def member_config(
    settings: Settings, group_id: str, membership: Membership | None, defaults: Keys, forced: Keys
) -> Keys:
    """The user's own keys overrule `membership` and `defaults`, the protocol included; `forced` overrules them.

    Without a membership the client's own values are used: the classic protocol, and rebalances that stop everything.
    """
    own = settings.kafka.consumer
    if membership is not None and "group.protocol" in own:
        protocol: GroupProtocol = "consumer" if own["group.protocol"] == "consumer" else "classic"
        membership = replace(membership, group_protocol=protocol)
    keys = {**(membership_keys(membership) if membership is not None else {}), **defaults}
    unset = {key: value for key, value in keys.items() if key not in own}
    return consumer_config(settings, group_id, **{**unset, **forced})


def classic_config(
    settings: Settings, group_id: str, membership: Membership | None, defaults: Keys, forced: Keys
) -> Keys:
    """The same for brokers that do not have KIP-848, whatever the settings ask for."""
    consumer = {key: value for key, value in settings.kafka.consumer.items() if key not in KIP_848_KEYS}
    kafka = settings.kafka.model_copy(update={"consumer": consumer})
    classic = membership and replace(membership, group_protocol="classic")
    config = member_config(settings.model_copy(update={"kafka": kafka}), group_id, classic, defaults, forced)
    return {key: value for key, value in config.items() if key not in KIP_848_KEYS}


def protocol_of(config: Keys) -> GroupProtocol:
    return "consumer" if config.get("group.protocol") == "consumer" else "classic"


def is_incremental(config: Keys) -> bool:
    """Whether a rebalance announces what changes, and not the whole share."""
    return protocol_of(config) == "consumer" or "cooperative" in str(config.get("partition.assignment.strategy", ""))
