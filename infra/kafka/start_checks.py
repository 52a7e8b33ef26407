"""What a command needs of Kafka is asked for at its start: a broker that can be used, topics, rights.

One metadata request for all of it. Everything here raises Unavailable, one sentence with the
address and what to do.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import confluent_kafka

from infra.kafka.clients import admin, bootstrap, consumer, metadata_of, overruled_keys
from infra.kafka.listeners import advice, unreachable_brokers
from infra.kafka.rights import missing_group_right, missing_topic_rights
from infra.process import logs
from infra.settings import Settings
from schemas.errors import Unavailable

log = logs.get(__name__)


def require_kafka(settings: Settings) -> None:
    """A broker answers in time, and can be reached at the address that it advertises."""
    _require_reachable(settings, metadata_of(settings))


def require_topics(
    settings: Settings,
    *,
    reads: Iterable[str] = (),
    writes: Iterable[str] = (),
    groups: Mapping[str, str] | None = None,
) -> None:
    """`require_kafka`, and the topics are there with the rights to read or write them.

    `groups`: ids of consumer groups, each with the topic that is read in it; the right to use them is wanted too.
    """
    if without_effect := overruled_keys(settings):
        log.warning("these keys have no effect: every group begins at the first record there is", keys=without_effect)
    client, timeout_s = admin(settings), settings.kafka.start_timeout_ms / 1000
    metadata = metadata_of(settings)
    _require_reachable(settings, metadata)
    reads, writes = list(reads), list(writes)
    lacking = missing_topic_rights(client, reads, writes, timeout_s)
    lacking += missing_group_rights(settings, groups or {})
    if lacking:
        raise Unavailable(
            "Kafka",
            bootstrap(settings),
            f"refuses this user: the right {', '.join(lacking)} is missing. Grant it with `kafka-acls.sh`, "
            "or set another user in [kafka.client]",
            answers=True,
        )
    missing = [topic for topic in dict.fromkeys((*reads, *writes)) if topic not in metadata.topics]
    if missing:
        raise Unavailable(
            "Kafka",
            bootstrap(settings),
            f"has no topic {', '.join(missing)}. Create them with `sightline topics create`",
            answers=True,
        )


def missing_group_rights(settings: Settings, groups: Mapping[str, str]) -> list[str]:
    """The rights that are missing to read each topic in its group. Joins nothing."""
    return [right for group, topic in groups.items() for right in _missing_group_right(settings, topic, group)]


def partitions_of(settings: Settings, topic: str) -> int:
    """How many partitions the topic has; 0 when there is no such topic."""
    found = metadata_of(settings).topics.get(topic)
    return len(found.partitions) if found is not None else 0


def _missing_group_right(settings: Settings, topic: str, group: str) -> list[str]:
    # Read committed, the question would wait for the end of a transaction that holds offsets of the group.
    member = consumer(settings, group, **{"isolation.level": "read_uncommitted"})
    try:
        return missing_group_right(member, topic, group, settings.kafka.start_timeout_ms / 1000)
    finally:
        try:
            member.close()
        except confluent_kafka.KafkaException as error:
            log.debug("a consumer that only asked was not closed in order", error=error.args[0].str())


def _require_reachable(settings: Settings, metadata: Any) -> None:
    places = {one.id: (one.host, one.port) for one in metadata.brokers.values()}
    found = unreachable_brokers(places, settings.kafka.client)
    if found and len(found) == len(places):
        raise Unavailable("Kafka", bootstrap(settings), advice(found), answers=True)
    if found:
        log.warning("brokers cannot be reached at the address that they advertise", brokers=[str(one) for one in found])
