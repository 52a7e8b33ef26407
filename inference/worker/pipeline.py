"""The threads behind the poll thread: fill runs, run the model, make labels and hand them to the delivery."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait

from inference.device.device import Device
from inference.device.scoring import Interrupted, RetryLimit, RunModel, ScoredRows, checked, score
from inference.device.staging import Run, Staging
from inference.device.work import Embedding, FrameFailure, FrameOutcome, LabelledFrame, Work
from inference.labelling.decide import label_for, predictions_of
from inference.models.base import Pixels
from inference.worker import traces
from inference.worker.delivery.base import Delivery
from inference.worker.group.work_in_flight import WorkInFlight
from inference.worker.labels_out import LabelsOut
from infra.kafka.sender import OutRecord
from infra.process import logs, metrics
from infra.process.lifecycle import Stop
from schemas.errors import Unavailable
from schemas.records import Micros, Origin, Prediction, Quality

log = logs.get(__name__)

ScoredRun = tuple[Run, list[ScoredRows]]
Answer = tuple[tuple[Prediction, ...], Embedding | None] | Exception
# Runs whose labels are not made yet; with so many of them the device waits.
MAX_SCORED_RUNS = 4
LOOKUP_AGAIN_S = 1.0


class Pipeline:
    """An error in any of its threads ends the worker through `stop`, with its cause."""

    def __init__(
        self,
        device: Device,
        staging: Staging,
        in_flight: WorkInFlight,
        labels_out: LabelsOut,
        delivery: Delivery,
        stop: Stop,
        retry_limit_ms: int,
        min_probability: float,
    ) -> None:
        self._device, self._staging, self._in_flight = device, staging, in_flight
        self._model = device.model
        self._labels_out, self._delivery, self._stop = labels_out, delivery, stop
        self._min_probability = min_probability
        self._retry_limit = RetryLimit(retry_limit_ms / 1000, stop.wait, time.monotonic)
        self._scored: queue.Queue[ScoredRun | None] = queue.Queue(MAX_SCORED_RUNS)
        metrics.QUEUE_FRAMES.labels("labels").set_function(self._scored_frames)
        self._threads = [
            threading.Thread(target=self._guarded, args=(body,), name=name, daemon=True)
            for name, body in (("fill-runs", staging.fill_runs), ("labels", self._labels))
        ]
        self._runs: Future[None] | None = None

    def start(self) -> None:
        for thread in self._threads:
            thread.start()
        self._runs = self._device.start(lambda: self._guarded(self._run_model))

    def join(self, timeout_s: float) -> None:
        """After `Staging.close`: wait for what is in flight."""
        end_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, end_s - time.monotonic()))
        if self._runs is not None:
            wait([self._runs], max(0.0, end_s - time.monotonic()))

    def stuck(self) -> list[str]:
        """The threads that have not ended; a model may hang for ever."""
        device = ["device"] if self._runs is not None and not self._runs.done() else []
        return device + [thread.name for thread in self._threads if thread.is_alive()]

    def _scored_frames(self) -> int:
        """Frames whose labels are not made yet. For any thread."""
        return sum(len(scored_run[0].pixels) for scored_run in list(self._scored.queue) if scored_run is not None)

    def _guarded(self, body: Callable[[], None]) -> None:
        try:
            body()
        except Interrupted:
            log.info("stopped while the model was failing", thread=threading.current_thread().name)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the main thread raises it
            self._stop.set(error)

    def _run_model(self) -> None:
        try:
            model_run = checked(self._model.run, len(self._model.classes))
            while (run := self._staging.next_run()) is not None:
                started_s, started_ns = time.monotonic(), time.time_ns()
                scored = self._score(model_run, run.pixels)
                self._staging.finished(run)
                if scored:
                    metrics.STAGE_SECONDS.labels("model").observe(time.monotonic() - started_s)
                    metrics.INFER_BATCH_SIZE.observe(len(run.pixels))
                    traces.ran(run, self._model.ref.name, started_ns)
                self._scored.put((run, scored))
        finally:
            self._scored.put(None)

    def _score(self, run: RunModel, pixels: Pixels) -> list[ScoredRows]:
        return score(run, pixels, self._retry_limit, self._device.working) if len(pixels) else []

    def _labels(self) -> None:
        while (scored_run := self._scored.get()) is not None:
            started_s = time.monotonic()
            for work in self._set_outcomes(*scored_run):
                if work.is_complete and self._in_flight.is_current_work(work):
                    self._delivery.release(work, self._records(work))
            metrics.STAGE_SECONDS.labels("labels").observe(time.monotonic() - started_s)

    def _set_outcomes(self, run: Run, scored: list[ScoredRows]) -> list[Work]:
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

    def _outcome(self, work: Work, index: int, answer: Answer, quality: Quality | None, now_us: Micros) -> FrameOutcome:
        if isinstance(answer, Exception):
            return FrameFailure(answer)
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
            replay_id=work.replay_id,
            replay_of=item.replay_of,
        )
        return LabelledFrame(label, answer[1])

    def _records(self, work: Work) -> list[OutRecord]:
        """Reads failed frames again first. While the broker does not answer, all work behind this one waits."""
        while True:
            try:
                return self._labels_out.records(work)
            except Unavailable as error:
                log.warning("failed frames cannot be read again yet", error=str(error))
                if self._stop.wait(LOOKUP_AGAIN_S):
                    raise Interrupted from error


def _answers(scored: list[ScoredRows], classes: Sequence[tuple[str, str]]) -> Iterator[Answer]:
    """One per row, in order."""
    for piece in scored:
        if piece.output is None:
            assert piece.error is not None
            yield piece.error
            continue
        embedding = piece.output.embedding
        for row, predictions in enumerate(predictions_of(piece.output, classes)):
            yield predictions, None if embedding is None else embedding[row]
