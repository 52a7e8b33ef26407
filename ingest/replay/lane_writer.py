"""Writes copies into the replay lane: frames and the replay's progress in one Kafka transaction."""

import time
from collections.abc import Sequence
from dataclasses import replace

from infra.kafka.clients import bootstrap
from infra.kafka.errors import FaultKind
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
from schemas.errors import SightlineError, Stalled
from schemas.replays import ReplayProgress

START_S = 60.0
# From the stop to the end of the last transaction.
STOP_S = 8.0
# One request is under way at a time, so that its size counts. The topic refuses batches above its limit of a record.
BATCH_BYTES, MAX_BATCH_BYTES = 1_000_000, 4_000_000
FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 0.1, 5.0
# Longer than a broker's restart takes, and the longest that frames of a copier that was killed stay undecided.
TRANSACTION_TIMEOUT_MS = 60_000
_REMEDIES = {
    FaultKind.TOO_LARGE: "max.message.bytes of the replay lane's frames must be that of the live lane's",
    FaultKind.FORBIDDEN: "`sightline doctor` names the right that is missing",
}


class LaneWriter:
    """One transaction at a time: the frames as they come, its end in a thread beside the reading. From one thread.

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
        # The frames of the transaction that is still filled, and of the one that ends meanwhile with its progress.
        self._frames: list[OutRecord] = []
        self._filled: Transaction | None = None
        self._ending: Transaction | None = None
        self._pending: tuple[Sequence[OutRecord], ReplayProgress] | None = None
        self._session: Session = {}
        # What the transaction that ends makes true.
        self._next: tuple[Session, ReplayProgress] | None = None
        self.committed: ReplayProgress | None = None

    def add(self, record: OutRecord) -> None:
        """Write it in the next transaction: at once where the one before has ended, else with a later call.

        Raises as `wait`.
        """
        self._frames.append(record)
        if self._filled is None:
            if self._ending is not None and not self._ending.ended.is_set():
                return
            self.wait()
            self._filled = self._transaction(self._frames)
        self._filled.send_new()

    def commit(self, progress: ReplayProgress) -> None:
        """End the transaction of the frames added, once the one before has ended, with this progress in it.

        `progress.lane` is that of former processes. Raises as `wait`.
        """
        self.wait()
        self._pending = self._frames, progress
        self._end(self._filled or self._transaction(self._frames))
        self._frames, self._filled = [], None

    def discard(self) -> None:
        """Forget the frames that were added since the last `commit`."""
        filled, self._filled, self._frames = self._filled, None, []
        if filled is not None:
            filled.abandon()

    def wait(self) -> None:
        """Until the last transaction is committed; one that was aborted is tried again.

        Raises Stalled when the broker does not let this replay go on, or does not answer after the stop, and
        SightlineError when it never takes these records: they are dropped then, and those added since.
        """
        back_off_s = FIRST_BACK_OFF_S
        while self._ending is not None:
            self._ending.ended.wait()
            if self._ending.error is not None:
                raise self._ending.error
            if not self._ending.is_aborted:
                assert self._next is not None
                self._count()
                (self._session, self.committed), self._ending, self._pending = self._next, None, None
                return
            if (fault := self._ending.refused) is not None:
                self._ending, self._pending, self._frames = None, None, []
                raise SightlineError(f"the broker refuses its records: {fault} ({_REMEDIES[fault.kind]})")
            if self._budget.expired():
                raise Stalled("the last frames were not written in time")
            time.sleep(back_off_s)
            back_off_s = min(LONGEST_BACK_OFF_S, 2 * back_off_s)
            assert self._pending is not None
            self._end(self._transaction(self._pending[0]))

    def _count(self) -> None:
        assert self._pending is not None
        frames = [record for record in self._pending[0] if record.topic == self._lane_topic]
        metrics.REPLAYED_FRAMES.inc(len(frames))
        metrics.REPLAYED_BYTES.inc(sum(len(record.value or b"") for record in frames))

    def _transaction(self, records: Sequence[OutRecord]) -> Transaction:
        return Transaction(self._producer, records, {}, None, self._budget.expired, closing=self._closing)

    def _closing(self, reports: Sequence[DeliveryReport]) -> OutRecord:
        """The progress behind the frames: it also tells where they lie."""
        assert self._pending is not None
        _, progress = self._pending
        session = with_reports(self._session, (one for one in reports if one.topic == self._lane_topic))
        written = replace(progress, lane=lane_of(progress.lane, session), updated_at=now_us())
        self._next = session, written
        return progress_record(self._settings, written, self._registry)

    def _end(self, transaction: Transaction) -> None:
        self._ending = transaction
        in_thread(transaction.run)
