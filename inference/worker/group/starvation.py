"""Whether records wait on the broker for a worker that does not get them.

It detects a worker that never joins its group, or to which librdkafka gives no records any more: seen from inside, such
a worker just has nothing to do. Callbacks do not show it, because a member without a partition gets none (KIP-848).
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from infra.kafka.group_offsets import Offsets
from infra.kafka.own_partitions import OwnPartitions
from infra.process import logs
from infra.process.standstill import MAX_STEP_MS, Standstill
from schemas.coordinates import TopicPartition

log = logs.get(__name__)

ASK_EVERY_S, ASK_TIMEOUT_S = 3.0, 5.0
# A worker without a partition is given this many times the limit, and at least this long: the owner of the partitions
# ends first and they are assigned again; and librdkafka's statistics need a while to tell that a worker stands by.
PATIENCE, MIN_PATIENCE_MS = 2, 30_000
# One look is seconds behind the one before it: what came in between has not waited for all of that time.
MIN_LOOKS = 3


@dataclass(frozen=True, slots=True)
class MemberView:
    """The group as the worker sees it from inside: the partitions it owns, when it last committed, and whether it
    knows that it has not found its group yet (`is_outside`). `newest_ms`: see `GroupProgress`.
    """

    owned: frozenset[int]
    is_outside: bool
    last_commit_s: float
    newest_ms: Mapping[TopicPartition, int] = field(default_factory=dict)


class StarvationRule:
    """Decides whether records wait for this worker and it does not get them. Pure."""

    def __init__(self, limit_ms: float) -> None:
        self._limit_ms = max(limit_ms, MIN_LOOKS * MAX_STEP_MS)
        self._patience_ms = max(PATIENCE * limit_ms, MIN_PATIENCE_MS)
        self._starved, self._outside = Standstill(), Standstill()
        self._seen: object = None

    def look(self, member: MemberView, group: Offsets, now_ms: float) -> str | None:
        """Why the worker counts as stalled, if it does. Call it only with an answer of the broker."""
        owned = member.owned or None  # None: all partitions of the group
        lag = group.lag(owned)
        # For an owner only its own commits count: a worker that was cut off may not have noticed that its partitions
        # went to another, which commits there.
        seen = (member.owned, member.last_commit_s if owned else group.position())
        starved_ms = self._starved.look(not lag or seen != self._seen, now_ms)
        outside_ms = self._outside.look(not member.is_outside, now_ms)
        self._seen = seen
        if outside_ms > self._patience_ms:
            return f"Kafka answers and the worker has not found its group for {outside_ms / 1000:.0f} s"
        if owned and starved_ms > self._limit_ms:
            return f"{lag} micro-batches wait for this worker and nothing was committed for {starved_ms / 1000:.0f} s"
        if not owned and starved_ms > self._patience_ms:
            return (
                f"{lag} micro-batches wait for the group, this worker has no partition and nobody committed anything "
                f"for {starved_ms / 1000:.0f} s"
            )
        return None


class OffsetsQuery(Protocol):
    """The part of `infra.kafka.group_offsets.GroupOffsets` that is used here."""

    def ask(self, timeout_s: float, partitions: Collection[int] | None = None) -> Offsets: ...


class GroupWatch:
    """Asks the broker for the group's offsets, in a thread of its own, and applies the rule.

    `reason` is the rule's last answer, which the watchdog reads. `shown` are the metrics of the owned partitions.
    """

    def __init__(
        self, offsets: OffsetsQuery, member: Callable[[], MemberView], rule: StarvationRule, shown: OwnPartitions
    ) -> None:
        self._offsets, self._member, self._rule, self._shown = offsets, member, rule, shown
        self._answered = True
        self._closed = threading.Event()
        self.reason: str | None = None

    def __enter__(self) -> "GroupWatch":
        threading.Thread(target=self._watch, name="group-watch", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()

    def look(self, now_ms: float) -> None:
        """A broker that does not answer is no stall: that time counts neither for the worker nor against it."""
        member = self._member()
        self._shown.show_newest(member.newest_ms)
        try:
            group = self._offsets.ask(ASK_TIMEOUT_S, member.owned or None)
        except Exception as error:  # noqa: BLE001 - whatever failed, it says nothing about the worker
            if self._answered and not self._closed.is_set():
                log.warning("the broker does not tell the group's offsets", error=str(error) or type(error).__name__)
            self._answered = False
            self._shown.show_lags({})
            return
        self._answered = True
        self._shown.show_lags(group.lags(member.owned & self._member().owned))
        self.reason = self._rule.look(member, group, now_ms)

    def _watch(self) -> None:
        while not self._closed.wait(ASK_EVERY_S):
            self.look(time.monotonic() * 1000)
