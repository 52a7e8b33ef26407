"""Publishes the changed labels of a replay as corrections: once, however often and wherever it is run.

The transactional id belongs to the replay. So a second promotion first ends that of another process, and then reads
what of it was committed; what was promoted once is left out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from infra.kafka.clients import bootstrap
from infra.kafka.reader import Reader
from infra.kafka.schema_registry import registry_of
from infra.kafka.sender import OutRecord
from infra.kafka.topics import TopicNames
from infra.kafka.transaction import Transaction, TransactionalProducer, init_transactions, transactional_producer
from infra.process.lifecycle import Stop
from infra.process.times import now_us
from infra.replay.answers import Comparison, parts_of
from infra.replay.table import Rows, among, place_number
from infra.settings import Settings
from schemas import codec
from schemas.coordinates import Coordinates
from schemas.errors import BadFrame, SightlineError, SinkError
from schemas.records import Label
from schemas.replays import ReplayProgress
from sinks.replay.corrections import choose, correction_of, records_of, spans_of

# One transaction holds at most so many corrections, and as many records for review.
CHUNK_LABELS = 500
TRANSACTION_TIMEOUT_MS = 60_000
START_S = 30.0


@dataclass(slots=True)
class Promotion:
    """`chosen`: changed labels to promote. `promoted` of them are written, `review` of those also for review.

    `already`: frames with a promoted label of this replay from before. `dead`: changed frames that the replay could not
    label. `overruled`: changed frames that another replay has corrected since. `gone`: retention has removed the
    replay's label. `revision` of the corrections of this run: the time in ms, or one more than the highest so far.
    """

    replay_id: str
    revision: int
    frames: int = 0
    changed: int = 0
    chosen: int = 0
    promoted: int = 0
    review: int = 0
    already: int = 0
    overruled: int = 0
    dead: int = 0
    gone: int = 0
    unanswered: int = 0
    notes: list[str] = field(default_factory=list)


def promote(settings: Settings, progress: ReplayProgress, stop: Stop, *, execute: bool) -> Promotion:
    """Without `execute` it only counts. Raises SinkError when a transaction was aborted; the next run goes on."""
    producer = _producer(settings, progress.replay_id, stop) if execute else None
    result = Promotion(progress.replay_id, now_us() // 1000)
    with Reader(settings) as reader:
        for part in range(parts_of(progress)):
            found = Comparison(settings, reader, progress, stop.is_set, part).result()
            choice = choose(found)
            result.frames += found.frames
            result.changed += found.changed
            result.chosen += len(choice.rows)
            result.already += found.promoted
            result.dead += choice.dead
            result.overruled += choice.overruled
            # A clock that is behind must not make corrections that lose against earlier ones.
            result.revision = max(result.revision, found.newest_revision + 1)
            result.unanswered += found.unanswered
            if producer is not None:
                _Publishing(settings, reader, producer, result, stop.is_set).publish(choice.rows)
    return result


def _producer(settings: Settings, replay_id: str, stop: Stop) -> TransactionalProducer:
    keys = {
        "transactional.id": f"{settings.topic_prefix}sightline-promote-{replay_id}",
        "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
        "delivery.timeout.ms": TRANSACTION_TIMEOUT_MS,
    }
    producer = transactional_producer(settings, keys, "kafka.client or kafka.producer")
    init_transactions(producer, bootstrap(settings), stop, START_S)
    return producer


class _Publishing:
    """Reads the chosen labels again and writes them, some hundred in a transaction."""

    def __init__(
        self, settings: Settings, reader: Reader, producer: TransactionalProducer, result: Promotion,
        stop: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._settings, self._reader, self._producer, self._result, self._stop = (
            settings,
            reader,
            producer,
            result,
            stop,
        )
        self._registry = registry_of(settings)
        self._live, self._lane = (TopicNames.for_lane(settings.topic_prefix, lane) for lane in ("live", "replay"))

    def publish(self, rows: Rows) -> None:
        chunk: list[Label] = []
        found = 0
        for label in self._labels(rows):
            chunk.append(label)
            found += 1
            if len(chunk) >= CHUNK_LABELS:
                self._write(chunk)
                chunk = []
        if self._stop():
            raise SightlineError(f"stopped: {self._result.promoted:,} labels are promoted, the next run goes on")
        self._write(chunk)
        self._result.gone += len(rows) - found

    def _labels(self, rows: Rows) -> Iterator[Label]:
        places = [
            place_number(Coordinates(self._lane.labels, int(row["partition"]), int(row["offset"]))) for row in rows
        ]
        wanted = among(np.unique(np.array(places, np.int64)))
        for record in self._reader.read(spans_of(self._lane.labels, rows), self._stop):
            if not wanted(np.array([place_number(record.coordinates)], np.int64))[0]:
                continue
            try:
                yield correction_of(codec.decode(Label, record.value, self._registry), self._result.revision)
            except BadFrame as error:
                raise SightlineError(
                    f"the label at {record.coordinates} was compared and cannot be read: {error}"
                ) from error

    def _write(self, corrections: list[Label]) -> None:
        if not corrections:
            return
        made = [records_of(label, self._live, self._registry) for label in corrections]
        records: list[OutRecord] = [record for each in made for record in each]
        transaction = Transaction(self._producer, records, {}, None, self._stop)
        transaction.run()
        if transaction.error is not None:
            raise transaction.error
        if transaction.is_aborted:
            raise SinkError(
                f"Kafka did not take a transaction: {self._result.promoted:,} labels are promoted, the next run goes on"
            )
        self._result.promoted += len(corrections)
        self._result.review += len(records) - len(corrections)
