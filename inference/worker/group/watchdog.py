"""Ends a worker that no longer gets anywhere: peers hang for days like that, and nobody notices.

Two things are seen: what the worker read and does not commit, and what its group leaves on the broker. The second
tells of a worker that never joins or that librdkafka stops feeding: by itself it has nothing to do. It cannot go by
callbacks, because one that stands by without a partition gets none either (KIP-848).
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from infra.kafka.group_offsets import Offsets
from infra.process import logs
from infra.process.lifecycle import STOP_BUDGET_S, Stop
from infra.process.standstill import MAX_STEP_MS, Standstill
from schemas.errors import Stalled

log = logs.get(__name__)

LOOK_EVERY_S, ASK_EVERY_S, ASK_TIMEOUT_S = 0.5, 3.0, 5.0
# A worker that has no partition waits for this much longer, and this long at least: whoever has one ends first, and
# its share is handed out again; librdkafka's statistics take a while to tell that a worker stands by.
PATIENCE, MIN_PATIENCE_MS = 2, 30_000
# A look is seconds behind the one before: what came in between has not waited since then.
MIN_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Place:
    """What a worker says of its place in the group. `outside`: it knows that it has not found its group yet.

    `progress_s` is when it last committed something.
    """

    owned: frozenset[int]
    outside: bool
    progress_s: float


class Hunger:
    """Records wait for this worker and it is not fed. Pure.

    With `skips` (`auto.offset.reset=latest`) what waits may be what the group passed over: then lag says nothing.
    """

    def __init__(self, limit_ms: float, skips: bool = False) -> None:
        self._limit_ms, self._skips = max(limit_ms, MIN_LOOKS * MAX_STEP_MS), skips
        self._patience_ms = max(PATIENCE * limit_ms, MIN_PATIENCE_MS)
        self._unfed, self._outside = Standstill(), Standstill()
        self._seen: object = None

    def look(self, place: Place, group: Offsets, now_ms: float) -> str | None:
        """Why the worker counts as stalled, if it does. Not to be called where the broker did not answer."""
        mine = place.owned or None  # None: all of the group's
        lag = 0 if self._skips else group.lag(mine)
        # What others commit of our partitions does not help us: cut off from the group one may not notice the loss.
        seen = (place.owned, place.progress_s if mine else group.position())
        unfed_ms = self._unfed.look(not lag or seen != self._seen, now_ms)
        outside_ms = self._outside.look(not place.outside, now_ms)
        self._seen = seen
        if outside_ms > self._patience_ms:
            return f"Kafka answers and the worker has not found its group for {outside_ms / 1000:.0f} s"
        if mine and unfed_ms > self._limit_ms:
            return f"{lag} micro-batches wait for this worker and nothing was committed for {unfed_ms / 1000:.0f} s"
        if not mine and unfed_ms > self._patience_ms:
            return (
                f"{lag} micro-batches wait for the group, this worker has no partition and nobody committed anything "
                f"for {unfed_ms / 1000:.0f} s"
            )
        return None


class Asks(Protocol):
    """What is used of infra.kafka.group_offsets.GroupOffsets."""

    def ask(self, timeout_s: float) -> Offsets: ...


class GroupWatch:
    """Asks the broker from a thread of its own, which may wait. `reason`: what came of it, for the watchdog."""

    def __init__(self, offsets: Asks, place: Callable[[], Place], hunger: Hunger) -> None:
        self._offsets, self._place, self._hunger = offsets, place, hunger
        self._answered = True
        self._closed = threading.Event()
        self.reason: str | None = None

    def __enter__(self) -> "GroupWatch":
        threading.Thread(target=self._watch, name="group-watch", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()

    def look(self, now_ms: float) -> None:
        """No answer is no stall: that time counts neither for the worker nor against it."""
        try:
            group = self._offsets.ask(ASK_TIMEOUT_S)
        except Exception as error:  # noqa: BLE001 - whatever it is, it says nothing about the worker
            if self._answered and not self._closed.is_set():
                log.warning("the broker does not tell the group's offsets", error=str(error) or type(error).__name__)
            self._answered = False
            return
        self._answered = True
        self.reason = self._hunger.look(self._place(), group, now_ms)

    def _watch(self) -> None:
        while not self._closed.wait(ASK_EVERY_S):
            self.look(time.monotonic() * 1000)


class Watchdog:
    """Looks from a thread of its own, so that it sees the others hang. Start it once work can arrive.

    First it asks for an orderly end; a process that cannot even do that is ended from here.
    """

    def __init__(
        self,
        work_waits: Callable[[], bool],
        last_progress_s: Callable[[], float],
        unfed: Callable[[], str | None],
        limit_ms: float,
        stop: Stop,
    ) -> None:
        self._work_waits, self._last_progress_s, self._unfed = work_waits, last_progress_s, unfed
        self._limit_ms, self._stop = limit_ms, stop
        self._standstill = Standstill()
        self._progress_s: float | None = None
        self._closed = threading.Event()
        self.reason: str | None = None
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()

    def look(self, now_ms: float) -> str | None:
        """Why the worker counts as stalled, if it does."""
        progress_s = self._last_progress_s()
        moving = progress_s != self._progress_s or not self._work_waits()
        self._progress_s = progress_s
        waited_ms = self._standstill.look(moving, now_ms)
        if waited_ms > self._limit_ms:
            return f"frames wait and nothing was committed for {waited_ms / 1000:.0f} s"
        return self._unfed()

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_EVERY_S):
            if self._stop.is_set():
                self._end_by_force()
                return
            self.reason = self.look(time.monotonic() * 1000)
            if self.reason is not None:
                log.error("the worker is stalled", reason=self.reason)
                self._stop.set(Stalled(f"{self.reason}; ending, so that it is started again"))

    def _end_by_force(self) -> None:
        if not self._closed.wait(STOP_BUDGET_S + 0.7):
            log.error("the worker did not come to an end in time", reason=self.reason or "asked to stop")
            os._exit(1)
