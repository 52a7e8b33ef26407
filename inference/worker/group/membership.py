"""What a worker knows of its place in the consumer group, and the client's settings for both group protocols."""

from typing import Any

from infra.kafka.statistics import stands_by
from infra.process import logs
from infra.settings import InferSettings

log = logs.get(__name__)


class Membership:
    """Whether this worker has found its group. Written by the poll thread, read by any.

    `has_joined`: it was given partitions, or the group has none for it.
    """

    def __init__(self) -> None:
        self.has_joined = False
        self._has_statistics = False

    @property
    def is_outside(self) -> bool:
        """It is known not to have found its group yet. Before the first statistics of the client nothing is known."""
        return self._has_statistics and not self.has_joined

    def on_assign(self) -> None:
        self.has_joined = True

    def on_statistics(self, statistics: str) -> None:
        self._has_statistics = True
        if not self.has_joined and stands_by(statistics):
            self.has_joined = True
            log.info("the group has no partition for this worker: standing by")


def membership_keys(infer: InferSettings) -> dict[str, Any]:
    """The client's keys for the group protocol. With KIP-848 (`consumer`) the broker decides session time-outs and
    assignment, and librdkafka refuses their keys.
    """
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
