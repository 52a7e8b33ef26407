"""Follows the labels and dead letters of a run and counts them for the display."""

import threading
from collections.abc import Sequence

from infra.kafka.reader import Reader
from infra.kafka.records import ConsumedRecord
from infra.kafka.schema_registry import registry_of
from infra.kafka.spans import Span
from infra.kafka.topics import TopicNames
from infra.settings import Settings
from schemas import codec
from schemas.coordinates import Coordinates, TopicPartition
from schemas.errors import BadFrame
from schemas.headers import read_failure, redriven_letter
from schemas.records import Label
from sinks.demo.stats import DemoStats


class OutcomeFollower:
    """A thread that reads outcomes as they are written and counts those of this run's frames.

    A frame belongs to the run when its offset is at or after the start of its partition in `frames`.
    """

    def __init__(self, settings: Settings, frames: Sequence[Span], outcomes: Sequence[Span], stats: DemoStats) -> None:
        self._settings, self._outcomes, self._stats = settings, outcomes, stats
        self._registry = registry_of(settings)
        self._dead = TopicNames.for_lane(settings.topic_prefix).dead
        self._starts: dict[TopicPartition, int] = {span.topic_partition: span.start for span in frames}
        self._ending = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="outcome-follower", daemon=True)

    def __enter__(self) -> "OutcomeFollower":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(2.0)

    def check(self) -> None:
        """Raises the error that ended the thread, if there is one."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            with Reader(self._settings) as reader:
                for record in reader.follow(self._outcomes):
                    if self._ending.is_set():
                        return
                    if record is not None:
                        self._take(record)
        except Exception as error:  # noqa: BLE001 - check() raises it in the main thread, which ends the demo
            self._error = error

    def _take(self, record: ConsumedRecord) -> None:
        if record.topic == self._dead:
            failure = read_failure(record.headers)
            if failure and redriven_letter(record.headers) is None and self._is_ours(failure.source):
                self._stats.dead_letter()
            return
        try:
            label = codec.decode(Label, record.value, self._registry)
        except BadFrame:
            return
        if self._is_ours(label.source) and label.revision <= 0:  # a correction is of a frame that was counted before
            self._stats.label(label)

    def _is_ours(self, source: Coordinates) -> bool:
        return source.offset >= self._starts.get(source.topic_partition, source.offset + 1)
