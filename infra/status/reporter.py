"""Says every few seconds what this process does, from a thread of its own."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from infra.kafka.schema_registry import registry_of
from infra.kafka.sender import OutRecord, Sender
from infra.kafka.start_checks import partitions_of
from infra.kafka.topics import Lane, TopicNames
from infra.process import logs
from infra.process.health import HealthServer
from infra.process.times import now_us
from infra.settings import Settings
from infra.status.rates import Rate
from schemas.codec import Registry, encode
from schemas.errors import Busy, SightlineError, Unavailable
from schemas.records import Micros, ProcessStatus, SourceStatus

log = logs.get(__name__)

REPORT_EVERY_S = 5.0
CLOSE_S = 2.0


@dataclass(frozen=True, slots=True)
class Doing:
    """What a process does at one moment. `arrived` and `finished`: counters of frames since its start, or None.

    The other fields are those of ProcessStatus.
    """

    arrived: float | None = None
    finished: float | None = None
    paused: str | None = None
    waiting_frames: int = 0
    frames_per_record: float = 1.0
    produce_wait_ms: float | None = None
    newest_frame_at: Micros | None = None
    sources: tuple[SourceStatus, ...] = ()


@contextmanager
def reporting(
    settings: Settings, stage: str, lane: Lane, sender: Sender, doing: Callable[[], Doing], http: HealthServer
) -> Iterator[None]:
    """Report what this process does while the block runs.

    An installation without the topic, such as one that is being upgraded, goes on without: only verdicts lack. Where
    Kafka is away the topic is taken to be there.
    """
    topic = TopicNames.for_lane(settings.topic_prefix).status
    if _is_missing(settings, topic):
        log.warning("this process does not report what it does: `sightline topics create` makes the topic", topic=topic)
        yield
        return
    registry = registry_of(settings)
    with StatusReporter(settings, stage, lane, sender, doing, registry, http.address):
        yield
    if registry is not None:
        registry.close()


def _is_missing(settings: Settings, topic: str) -> bool:
    try:
        return not partitions_of(settings, topic)
    except Unavailable as away:
        if away.answers:
            raise
        return False


class StatusReporter:
    """Use as a context manager. A report that cannot be sent is left out: the next one says more.

    At the end the process's last word is removed, so that nobody takes an ended process for a silent one.
    """

    def __init__(
        self,
        settings: Settings,
        stage: str,
        lane: Lane,
        sender: Sender,
        doing: Callable[[], Doing],
        registry: Registry | None = None,
        metrics_address: str | None = None,
    ) -> None:
        self._stage, self._lane, self._sender, self._doing, self._registry = stage, lane, sender, doing, registry
        self._metrics_address = metrics_address
        self._topic = TopicNames.for_lane(settings.topic_prefix).status
        self._process_id = f"{stage}/{socket.gethostname()}/{os.getpid()}/{int(time.time())}"
        self._arrived, self._finished = Rate(), Rate()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="status", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join(CLOSE_S)
        self._send(None)

    def status(self, now_s: float, at: Micros) -> ProcessStatus:
        """What is reported now. `now_s`: of the monotonic clock."""
        doing = self._doing()
        return ProcessStatus(
            process_id=self._process_id,
            stage=self._stage,
            lane=self._lane,
            at=at,
            paused=doing.paused,
            waiting_frames=doing.waiting_frames,
            arriving_per_s=None if doing.arrived is None else self._arrived.look(doing.arrived, now_s),
            finished_per_s=None if doing.finished is None else self._finished.look(doing.finished, now_s),
            frames_per_record=doing.frames_per_record,
            produce_wait_ms=doing.produce_wait_ms,
            newest_frame_at=doing.newest_frame_at,
            metrics_address=self._metrics_address,
            sources=doing.sources,
        )

    def _run(self) -> None:
        while True:
            self._send(encode(self.status(time.monotonic(), now_us()), self._registry, self._topic))
            if self._closed.wait(REPORT_EVERY_S):
                return

    def _send(self, value: bytes | None) -> None:
        try:
            self._sender.send(OutRecord(self._topic, self._process_id, value))
        except (Busy, SightlineError) as error:
            log.debug("the status of this process was not sent", error=str(error))
