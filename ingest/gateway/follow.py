"""Follows labels and dead letters, in a thread, and hands on those of uploads."""

import threading
from collections.abc import Callable

from infra.kafka.reader import Reader
from infra.kafka.records import ConsumedRecord
from infra.kafka.topics import TopicNames
from infra.process import logs
from infra.settings import Settings
from ingest.gateway.keys import owner_of, owner_of_source
from ingest.gateway.ring import Outcome
from schemas.codec import Registry, decode
from schemas.errors import BadFrame
from schemas.headers import read_failure, redriven_letter
from schemas.label_json import json_line
from schemas.records import Frame, Label, Micros

log = logs.get(__name__)


class OutcomeFollower:
    """Reads from `begin` on, without a group: every gateway sees every outcome.

    `take` is called in this thread with the outcomes of frames whose key `is_known`, and `fail` with the error that
    ends it.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry | None,
        begin: Micros,
        is_known: Callable[[str], bool],
        take: Callable[[Outcome], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._settings, self._registry, self._begin = settings, registry, begin
        self._is_known, self._take, self._fail = is_known, take, fail
        names = TopicNames.for_lane(settings.topic_prefix)
        self._labels, self._dead = names.labels, names.dead
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outcomes", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        self._closing.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            with Reader(self._settings) as reader:
                starts = [span for topic in (self._labels, self._dead) for span in reader.spans(topic, self._begin)]
                for record in reader.follow(starts):
                    if self._closing.is_set():
                        return
                    outcome = None if record is None else self._outcome(record)
                    if outcome is not None:
                        self._take(outcome)
        except Exception as error:  # noqa: BLE001 - without this thread labels would be missed, unnoticed
            self._fail(error)

    def _outcome(self, record: ConsumedRecord) -> Outcome | None:
        owner = owner_of_source((record.key or b"").decode(errors="replace"))
        if owner is None or not self._is_known(owner):
            return None
        try:
            found = self._label(record) if record.topic == self._labels else self._letter(record)
        except BadFrame as error:
            log.debug("a record is left out", topic=record.topic, offset=record.offset, error=str(error))
            return None
        # The key of a record and the frame in it could differ, and what a key may read goes by the frame.
        return found if found is not None and owner_of(found.frame_id) == owner else None

    def _label(self, record: ConsumedRecord) -> Outcome:
        label = decode(Label, record.value, self._registry)
        text = json_line(label, record.topic, record.partition, record.offset)
        return Outcome(label.frame_id, text, revision=label.revision)

    def _letter(self, record: ConsumedRecord) -> Outcome | None:
        failure = read_failure(record.headers)
        if failure is None or redriven_letter(record.headers) is not None:
            return None
        frame = decode(Frame, record.value, self._registry)
        return Outcome(frame.frame_id, None, f"{failure.error_class}: {failure.message}"[:500])
