"""The threads behind the poll thread: lay out runs, run the model, make labels and hand them to the delivery."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from inference.device.scoring import Interrupted, Patience, Scored, checked, score
from inference.device.staging import Run, Staging
from inference.device.work import Embedding, Failed, Labelled, Outcome, Work
from inference.labelling.decide import label_for, predictions_of
from inference.models.base import Model
from inference.worker.delivery.at_least_once import Delivery
from inference.worker.group.ownership import Ownership
from inference.worker.labels_out import LabelsOut
from infra.kafka.sender import OutRecord
from infra.process import logs, metrics
from infra.process.lifecycle import Stop
from schemas.errors import Unavailable
from schemas.records import Micros, Origin, Prediction, Quality

log = logs.get(__name__)

Scores = tuple[Run, list[Scored]]
Answer = tuple[tuple[Prediction, ...], Embedding | None] | Exception
# Runs whose labels are not made yet; with that many the device waits.
MAX_SCORED_RUNS = 4
REFETCH_AGAIN_S = 1.0


class Pipeline:
    """A failure of any thread ends the worker through `stop`, with its cause."""

    def __init__(
        self,
        model: Model,
        staging: Staging,
        ownership: Ownership,
        labels_out: LabelsOut,
        delivery: Delivery,
        stop: Stop,
        retry_limit_ms: int,
        min_probability: float,
    ) -> None:
        self._model, self._staging, self._ownership = model, staging, ownership
        self._labels_out, self._delivery, self._stop = labels_out, delivery, stop
        self._min_probability = min_probability
        self._patience = Patience(retry_limit_ms / 1000, stop.wait, time.monotonic)
        self._scored: queue.Queue[Scores | None] = queue.Queue(MAX_SCORED_RUNS)
        self._threads = [
            threading.Thread(target=self._guarded, args=(body,), name=name, daemon=True)
            for name, body in (("lay-out", staging.lay_out), ("device", self._device), ("labels", self._labels))
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self, timeout_s: float) -> None:
        """After `Staging.close`: wait for what is under way."""
        end_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, end_s - time.monotonic()))

    def stuck(self) -> list[str]:
        """Threads that did not come to their end; a model may hang for ever."""
        return [thread.name for thread in self._threads if thread.is_alive()]

    def _guarded(self, body: Callable[[], None]) -> None:
        try:
            body()
        except Interrupted:
            log.info("stopped while the model was failing", thread=threading.current_thread().name)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the main thread ends with it
            self._stop.set(error)

    def _device(self) -> None:
        try:
            model_run = checked(self._model.run, len(self._model.classes))
            while (run := self._staging.next_run()) is not None:
                started_s = time.monotonic()
                scored = score(model_run, run.pixels, self._patience) if len(run.pixels) else []
                self._staging.finished(run)
                if scored:
                    metrics.STAGE_SECONDS.labels("model").observe(time.monotonic() - started_s)
                    metrics.INFER_BATCH_SIZE.observe(len(run.pixels))
                self._scored.put((run, scored))
        finally:
            self._scored.put(None)

    def _labels(self) -> None:
        while (scores := self._scored.get()) is not None:
            started_s = time.monotonic()
            run, scored = scores
            for work in self._settle_rows(run, scored):
                if work.is_whole and self._ownership.is_current(work):
                    self._delivery.release(work, self._records(work))
            metrics.STAGE_SECONDS.labels("labels").observe(time.monotonic() - started_s)

    def _settle_rows(self, run: Run, scored: list[Scored]) -> list[Work]:
        """Give every row of the run its outcome."""
        answers = list(_answers(scored, self._model.classes))
        now_us, row = time.time_ns() // 1000, 0
        for part in run.parts:
            for index in part.work.rows[part.start : part.start + part.count]:
                answer = run.rejected.get(row, answers[row])
                quality = run.qualities.get(row)
                part.work.outcomes[index] = self._outcome(part.work, index, answer, quality, now_us)
                row += 1
        return [part.work for part in run.parts]

    def _outcome(self, work: Work, index: int, answer: Answer, quality: Quality | None, now_us: Micros) -> Outcome:
        if isinstance(answer, Exception):
            return Failed(answer)
        item = work.items[index]
        label = label_for(
            item,
            work.source_of(index),
            answer[0],
            quality or item.quality,
            model=self._model.ref,
            origin=Origin.MODEL,
            labelled_at=now_us,
            min_probability=self._min_probability,
            replay_id=work.origin.replay_id,
        )
        return Labelled(label, answer[1])

    def _records(self, work: Work) -> list[OutRecord]:
        """Frames that failed are read again first; as long as that gives no answer everything behind them waits."""
        while True:
            try:
                return self._labels_out.records(work)
            except Unavailable as error:
                log.warning("failed frames cannot be read again yet", error=str(error))
                if self._stop.wait(REFETCH_AGAIN_S):
                    raise Interrupted from error


def _answers(scored: list[Scored], classes: Sequence[tuple[str, str]]) -> Iterator[Answer]:
    """One per row, in order."""
    for piece in scored:
        if piece.output is None:
            assert piece.error is not None
            yield piece.error
            continue
        embedding = piece.output.embedding
        for row, predictions in enumerate(predictions_of(piece.output, classes)):
            yield predictions, None if embedding is None else embedding[row]
