"""The Kafka clients of a worker: group membership in both protocols, the transactional producer, a bounded close."""

import json
import uuid
from collections.abc import Callable
from typing import Any

from infra.kafka.clients import consumer_config
from infra.kafka.consumer import CommitReport, GroupConsumer
from infra.kafka.transaction import TransactionalProducer, transactional_producer
from infra.settings import InferSettings, Settings

# A transaction holds finished labels only, so it lasts milliseconds; after a crash readers wait no longer than this.
TRANSACTION_TIMEOUT_MS = 10_000
# When the group's coordinator goes, librdkafka's send_offsets_to_transaction looks for the new one only as some
# connection changes its state, and its time-out is never looked at (confluentinc/librdkafka 5511 and 5456, open as of
# 2.16): idle connections that are closed give it the occasion. Without that it hung until the watchdog.
IDLE_CONNECTION_MS = 2_000

# An empty share is announced by no callback in KIP-848; this long in the group without one means standing by.
STANDBY_MS, STATISTICS_MS = 10_000, 5_000

OnCommit = Callable[[CommitReport], None]
OnStatistics = Callable[[str], None]


def membership(infer: InferSettings) -> dict[str, Any]:
    """With KIP-848 session and assignment are the broker's business, and librdkafka refuses their keys."""
    common: dict[str, Any] = {
        "group.protocol": infer.group_protocol,
        "max.poll.interval.ms": infer.max_poll_interval_ms,
    }
    if infer.group_instance_id:
        common["group.instance.id"] = infer.group_instance_id
    if infer.group_protocol == "consumer":
        return common
    return {
        **common,
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": min(infer.session_timeout_ms, infer.max_poll_interval_ms),
        "heartbeat.interval.ms": infer.session_timeout_ms // 3,
    }


def reset_policy(settings: Settings) -> str:
    """`auto.offset.reset` as configured; the client itself is always told `error` (see `start_offsets`)."""
    return str(consumer_config(settings, "")["auto.offset.reset"])


def group_consumer(
    settings: Settings, group_id: str, on_commit: OnCommit, on_statistics: OnStatistics
) -> GroupConsumer:
    """Raises ConfigError for client keys that do not go together, such as `session.timeout.ms` with KIP-848."""
    return GroupConsumer(
        settings,
        group_id,
        on_commit=on_commit,
        on_statistics=on_statistics,
        defaults={**membership(settings.infer), "statistics.interval.ms": STATISTICS_MS},
        forced={"auto.offset.reset": "error"},
        tables="kafka.client, kafka.consumer or infer",
    )


def stands_by(statistics: str) -> bool:
    """Whether librdkafka's statistics (STATISTICS.md, `cgrp`) are of a member that was given nothing for a while.

    Its join state says `init` for as long, so the state of the coordinator's connection has to do.
    """
    group = json.loads(statistics).get("cgrp", {})
    return bool(group.get("state") == "up" and group["stateage"] >= STANDBY_MS and not group["assignment_size"])


def transactional_id(infer: InferSettings, group_id: str) -> str:
    """Stable where an instance has a name, so that its successor ends what it left open; else never used again."""
    return f"{group_id}-{infer.transactional_id or infer.group_instance_id or uuid.uuid4().hex}"


def worker_producer(settings: Settings, group_id: str) -> TransactionalProducer:
    keys = {
        "transactional.id": transactional_id(settings.infer, group_id),
        "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
        "delivery.timeout.ms": TRANSACTION_TIMEOUT_MS,
        "connections.max.idle.ms": IDLE_CONNECTION_MS,
    }
    return transactional_producer(settings, keys, "kafka.client, kafka.producer or infer")
