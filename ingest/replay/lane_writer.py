"""Writes copies into the replay lane: frames and the replay's progress in one Kafka transaction."""

import time
from collections.abc import Sequence
from dataclasses import replace

from infra.kafka.clients import bootstrap
from infra.kafka.sender import DeliveryReport, OutRecord
from infra.kafka.topics import TopicNames
from infra.kafka.transaction import Transaction, init_transactions, transactional_producer
from infra.process import metrics
from infra.process.lifecycle import Stop, StopBudget, in_thread
from infra.process.times import now_us
from infra.replay.progress import progress_record
from infra.settings import Settings
from ingest.replay.lane_ranges import Session, lane_of, with_reports
from schemas.codec import Registry
from schemas.errors import Stalled
from schemas.replays import ReplayProgress

START_S = 60.0
# From the stop to the end of the last transaction.
STOP_S = 8.0
# One request is under way at a time, so that its size counts. The topic refuses batches above its limit of a record.
BATCH_BYTES, MAX_BATCH_BYTES = 1_000_000, 4_000_000
FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 0.1, 5.0
# Longer than a broker's restart takes, and the longest that frames of a copier that was killed stay undecided.
TRANSACTION_TIMEOUT_MS = 60_000


class LaneWriter:
    """One transaction at a time, in a thread beside the reading. From one thread.

    Its transactional id is that of the replay: whoever makes a writer fences the one before, whose open transaction is
    aborted then. So progress that is read afterwards is the last word of the former copier.
    """

    def __init__(self, settings: Settings, replay_id: str, stop: Stop, registry: Registry | None = None) -> None:
        """Raises Unavailable when transactions cannot be started."""
        self._settings, self._replay_id, self._registry = settings, replay_id, registry
        self._lane_topic = TopicNames.for_lane(settings.topic_prefix, "replay").frames
        self._budget = StopBudget(stop, STOP_S)
        keys = {
            "transactional.id": f"{settings.topic_prefix}sightline-replay-{replay_id}",
            "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
            "delivery.timeout.ms": TRANSACTION_TIMEOUT_MS,
            "linger.ms": 1,
            "batch.size": max(BATCH_BYTES, min(MAX_BATCH_BYTES, settings.topics.max_frame_bytes // 2)),
        }
        self._producer = transactional_producer(settings, keys, "kafka.client or kafka.producer")
        init_transactions(self._producer, bootstrap(settings), stop, START_S)
        self._open: Transaction | None = None
        self._pending: tuple[Sequence[OutRecord], ReplayProgress] | None = None
        self._session: Session = {}
        # What the transaction that is under way makes true.
        self._next: tuple[Session, ReplayProgress] | None = None
        self.committed: ReplayProgress | None = None

    def begin(self, records: Sequence[OutRecord], progress: ReplayProgress) -> None:
        """Write these in one transaction, once the one before has ended. `progress.lane` is that of former processes.

        Raises as `wait`.
        """
        self.wait()
        self._pending = (records, progress)
        self._start()

    def wait(self) -> None:
        """Until the last transaction is committed; one that was aborted is tried again.

        Raises Stalled when the broker does not let this replay go on, or does not answer after the stop.
        """
        back_off_s = FIRST_BACK_OFF_S
        while self._open is not None:
            self._open.ended.wait()
            if self._open.error is not None:
                raise self._open.error
            if not self._open.is_aborted:
                assert self._next is not None
                self._count()
                (self._session, self.committed), self._open, self._pending = self._next, None, None
                return
            if self._budget.expired():
                raise Stalled("the last frames were not written in time")
            time.sleep(back_off_s)
            back_off_s = min(LONGEST_BACK_OFF_S, 2 * back_off_s)
            self._start()

    def _count(self) -> None:
        assert self._pending is not None
        frames = [record for record in self._pending[0] if record.topic == self._lane_topic]
        metrics.REPLAYED_FRAMES.inc(len(frames))
        metrics.REPLAYED_BYTES.inc(sum(len(record.value or b"") for record in frames))

    def _start(self) -> None:
        assert self._pending is not None
        records, progress = self._pending

        def closing(reports: Sequence[DeliveryReport]) -> OutRecord:
            session = with_reports(self._session, (one for one in reports if one.topic == self._lane_topic))
            written = replace(progress, lane=lane_of(progress.lane, session), updated_at=now_us())
            self._next = session, written
            return progress_record(self._settings, written, self._registry)

        self._open = Transaction(self._producer, records, {}, None, self._budget.expired, closing=closing)
        in_thread(self._open.run)
