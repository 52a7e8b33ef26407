"""Once a second, in threads of their own: the workers' backlog and our own lag, and the watchdog that goes by them.

The broker is asked, not Faust. Nobody waits for its answers but who asks: the watchdog sees most when none come.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import KafkaException

from infra.kafka.group_offsets import GroupOffsets
from infra.kafka.topics import Lane, TopicNames, group
from infra.process import logs, metrics
from infra.process.standstill import Standstill
from infra.settings import Settings
from schemas.errors import Stalled
from streams.watch.backlog import Backlog
from streams.watch.watchdog import Sight, Watchdog

log = logs.get(__name__)

PERIOD_S = 1.0
ASK_TIMEOUT_S = 5.0
# A stalled process is given this long to end by itself before it is ended from here.
LAST_GRACE_S = 12.0


@dataclass(frozen=True, slots=True)
class View:
    """What the event loop says of itself, the retry lane included in both counts.

    Frames taken and not committed, and how many of them are finished; a number that grows with every commit, one that
    grows with every step of the work; the partitions it owns (None: it is in no group); when it was last alive.
    """

    taken: int
    uncommitted: int
    commits: int
    steps: int
    partitions: frozenset[int] | None
    beat_s: float


class Monitor:
    """Calls `pause(True/False)` as the backlog grows and shrinks, `fail` when the stage has stalled."""

    def __init__(
        self,
        settings: Settings,
        lane: Lane,
        view: Callable[[], View],
        pause: Callable[[bool], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        names = TopicNames.for_lane(settings.topic_prefix, lane)
        prefix = settings.topic_prefix
        self._batches = GroupOffsets(settings, group("infer", prefix, lane), names.batches)
        self._frames = GroupOffsets(settings, group("stream", prefix, lane), names.frames)
        self._view, self._pause, self._fail = view, pause, fail
        self._stall_ms = settings.stream.stall_timeout_ms
        self._watchdog = Watchdog(self._stall_ms)
        self._loop_stands, self._beat_s = Standstill(), 0.0
        self._backlog = Backlog(settings.stream.max_inflight_bytes, settings.stream.max_batch_bytes // 8)
        self._lock = threading.Lock()
        self._paused = False
        self._answered = True
        self._lag = 0
        self._closing = threading.Event()

    def start(self) -> None:
        for name, look in (("lag", self._look), ("watchdog", self._watch)):
            threading.Thread(target=self._run, args=(look,), name=name, daemon=True).start()

    def close(self) -> None:
        self._closing.set()

    def wrote(self, partition: int, offset: int, size: int) -> None:
        """A batch was written; from any thread."""
        with self._lock:
            self._backlog.wrote(partition, offset, size)

    def _run(self, look: Callable[[], None]) -> None:
        try:
            while not self._closing.wait(PERIOD_S):
                look()
        except Exception as error:  # noqa: BLE001 - without its watchdog the process may not go on
            self._fail(error)

    def _look(self) -> None:
        try:
            batches, frames = self._batches.ask(ASK_TIMEOUT_S), self._frames.ask(ASK_TIMEOUT_S)
        except (KafkaException, TimeoutError) as error:
            if self._answered:
                log.warning("the broker does not tell offsets", error=str(error) or "no answer in time")
            self._answered = False
            return
        self._answered = True
        with self._lock:
            self._backlog.update(batches.committed, batches.ends)
            size, paused = self._backlog.bytes(), self._backlog.should_pause()
        metrics.BACKLOG_BYTES.set(size)
        if paused != self._paused:
            self._paused = paused
            log.info("workers are behind, frames wait in their topic" if paused else "workers caught up", bytes=size)
            self._pause(paused)
        self._lag = frames.lag(self._view().partitions)

    def _watch(self) -> None:
        view, now_ms = self._view(), time.monotonic() * 1000
        hung_ms = self._loop_stands.look(view.beat_s != self._beat_s, now_ms)
        self._beat_s = view.beat_s
        if hung_ms >= self._stall_ms:
            log.error("the event loop stands still, ending the process", seconds=round(hung_ms / 1000))
            os._exit(1)
        # Who paused us is not heard of any more: that is no reason to wait for ever.
        may_wait = self._paused and self._answered
        sight = Sight(view.taken, view.uncommitted, self._lag, view.commits, view.steps, may_wait)
        sentence = self._watchdog.stalled(sight, now_ms)
        if sentence is not None:
            self._fail(Stalled(sentence))
            if not self._closing.wait(LAST_GRACE_S):
                log.error("the process did not end by itself, ending it", reason=sentence)
                os._exit(1)
