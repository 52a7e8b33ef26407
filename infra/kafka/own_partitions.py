"""What a group member's metrics tell of its own partitions: the lag, and the capture time of the newest finished frame.

A series is gone within one look after its partition was revoked, so that it does not stand beside that of the next
owner.
"""

import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any, Self

from prometheus_client import Gauge

from infra.kafka.errors import KafkaFailure
from infra.kafka.group_offsets import GroupOffsets
from infra.kafka.groups import GroupProgress
from infra.process import logs, metrics
from infra.settings import Settings
from schemas.coordinates import TopicPartition

log = logs.get(__name__)

LOOK_EVERY_S, ASK_TIMEOUT_S = 3.0, 5.0


class OwnPartitions:
    """The series of one member. Used by one thread."""

    def __init__(self, group: str, topic: str) -> None:
        self._group, self._topic = group, topic
        self._shown: dict[Gauge, set[int]] = {}

    def show_lags(self, lags: Mapping[int, int]) -> None:
        """`lags`: in records, by the number of each owned partition; empty when they are not known."""
        self._show(metrics.CONSUMER_LAG, lags)

    def show_newest(self, newest_ms: Mapping[TopicPartition, int]) -> None:
        """Capture times, of owned partitions only. Other topics are left out."""
        found = {partition: at_ms / 1000 for (topic, partition), at_ms in newest_ms.items() if topic == self._topic}
        self._show(metrics.SETTLED_FRAME, found)

    def _show(self, gauge: Gauge, values: Mapping[int, float]) -> None:
        for partition in self._shown.get(gauge, set()) - values.keys():
            gauge.remove(self._group, self._topic, str(partition))
        for partition, value in values.items():
            gauge.labels(self._group, self._topic, str(partition)).set(value)
        self._shown[gauge] = set(values)


class OwnPartitionsWatch:
    """Shows them from a thread of its own, for members that ask the broker for nothing else. Use as a context manager.

    `owned` and `newest_ms` are asked for by that thread.
    """

    def __init__(
        self,
        settings: Settings,
        group: str,
        topic: str,
        owned: Callable[[], Collection[int]],
        newest_ms: Callable[[], Mapping[TopicPartition, int]],
    ) -> None:
        self._offsets, self._shown = GroupOffsets(settings, group, topic), OwnPartitions(group, topic)
        self._group, self._owned, self._newest_ms = group, owned, newest_ms
        self._has_answered = True
        self._closed = threading.Event()

    @classmethod
    def of(cls, settings: Settings, group: str, topic: str, progress: GroupProgress[Any]) -> Self:
        """Of the partitions in this book."""

        def owned() -> set[int]:
            return {one.partition for one in progress.partitions()}

        return cls(settings, group, topic, owned, progress.newest_ms)

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, name="own-lag", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()

    def look(self) -> None:
        self._shown.show_newest(self._newest_ms())
        try:
            lags = self._offsets.ask(ASK_TIMEOUT_S, self._owned()).lags()
        except (KafkaFailure, TimeoutError) as error:
            self._shown.show_lags({})
            if self._has_answered and not self._closed.is_set():
                log.warning("the broker does not tell this member's lag", group=self._group, error=str(error))
            self._has_answered = False
            return
        self._has_answered = True
        # What was revoked while the broker was asked is not shown any more.
        self._shown.show_lags({one: lag for one, lag in lags.items() if one in self._owned()})

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_EVERY_S):
            self.look()
