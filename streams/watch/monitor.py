"""Looks once a second at the backlog of the workers, at the stage's own lag, and at its progress.

Offsets come from the broker, not from Faust. The lag thread alone waits for the broker's answers: the watchdog thread
is needed most when none come.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from infra.kafka.errors import KafkaFailure
from infra.kafka.group_offsets import GroupOffsets
from infra.kafka.own_partitions import OwnPartitions
from infra.kafka.topics import Lane, TopicNames, group
from infra.process import logs, metrics
from infra.process.standstill import Standstill
from infra.settings import Settings
from schemas.coordinates import TopicPartition
from schemas.errors import Stalled
from streams.watch.backlog import Backlog
from streams.watch.progress_rule import ProgressRule, WatchdogInput

log = logs.get(__name__)

PERIOD_S = 1.0
ASK_TIMEOUT_S = 5.0
# A stalled process has this long to end by itself before the watchdog ends it.
LAST_GRACE_S = 12.0


@dataclass(frozen=True, slots=True)
class StageProgress:
    """How far the stage is, including retried frames.

    `taken`: frames taken and not committed; `uncommitted`: those of them that are finished; `commits` and `steps`:
    counters that grow with every commit and with every step of the decoders; `partitions`: those of this member, None
    while it is in no group; `newest_ms`: of those, the capture time of the newest finished frame; `beat_s`: when the
    event loop last ran.
    """

    taken: int
    uncommitted: int
    commits: int
    steps: int
    partitions: frozenset[int] | None
    newest_ms: Mapping[TopicPartition, int]
    beat_s: float


class Monitor:
    """Calls `pause(True)` or `pause(False)` as the backlog grows or shrinks, and `fail` when the stage has stalled."""

    def __init__(
        self,
        settings: Settings,
        lane: Lane,
        backlog: Backlog,
        progress: Callable[[], StageProgress],
        pause: Callable[[bool], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        names = TopicNames.for_lane(settings.topic_prefix, lane)
        prefix = settings.topic_prefix
        self._batches = GroupOffsets(settings, group("infer", prefix, lane), names.batches)
        self._frames = GroupOffsets(settings, group("stream", prefix, lane), names.frames)
        self._shown = OwnPartitions(group("stream", prefix, lane), names.frames)
        self._backlog, self._progress, self._pause, self._fail = backlog, progress, pause, fail
        self._stall_ms = settings.stream.stall_timeout_ms
        self._rule = ProgressRule(self._stall_ms)
        self._loop_hangs, self._beat_s = Standstill(), 0.0
        self._paused = False
        self._answered = True
        self._lag = 0
        self._closing = threading.Event()

    def start(self) -> None:
        for name, look in (("lag", self._look), ("watchdog", self._watch)):
            threading.Thread(target=self._run, args=(look,), name=name, daemon=True).start()

    def close(self) -> None:
        self._closing.set()

    def _run(self, look: Callable[[], None]) -> None:
        try:
            while not self._closing.wait(PERIOD_S):
                look()
        except Exception as error:  # noqa: BLE001 - without these threads the process must not go on
            self._fail(error)

    def _look(self) -> None:
        self._shown.show_newest(self._progress().newest_ms)
        try:
            batches, owned = self._batches.ask(ASK_TIMEOUT_S), self._progress().partitions
            frames = self._frames.ask(ASK_TIMEOUT_S, owned)
        except (KafkaFailure, TimeoutError) as error:
            if self._answered:
                log.warning("the broker does not report offsets", error=str(error) or "no answer in time")
            self._answered = False
            self._shown.show_lags({})
            return
        self._answered = True
        self._backlog.update(batches.committed, batches.ends)
        size, paused = self._backlog.bytes(), self._backlog.should_pause()
        metrics.BACKLOG_BYTES.set(size)
        if paused != self._paused:
            self._paused = paused
            log.info("paused: the workers are behind" if paused else "resumed: the workers have caught up", bytes=size)
            self._pause(paused)
        self._lag = frames.lag()
        self._shown.show_lags(frames.lags(self._progress().partitions or ()))

    def _watch(self) -> None:
        progress, now_ms = self._progress(), time.monotonic() * 1000
        hung_ms = self._loop_hangs.look(progress.beat_s != self._beat_s, now_ms)
        self._beat_s = progress.beat_s
        if hung_ms >= self._stall_ms:
            log.error("the event loop hangs, ending the process", seconds=round(hung_ms / 1000))
            os._exit(1)
        # Without answers of the broker nobody knows that the workers are still behind: then the pause is no excuse.
        may_wait = self._paused and self._answered
        seen = WatchdogInput(
            progress.taken, progress.uncommitted, self._lag, progress.commits, progress.steps, may_wait
        )
        sentence = self._rule.stalled(seen, now_ms)
        if sentence is not None:
            self._fail(Stalled(sentence))
            if not self._closing.wait(LAST_GRACE_S):
                log.error("the process did not end by itself, ending it", reason=sentence)
                os._exit(1)
