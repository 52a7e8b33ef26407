"""The threads behind the poll thread, with a device that fails: what reaches the delivery, and what ends the worker."""

import gc
import time
import weakref
from collections.abc import Collection, Iterable

import numpy as np
import pytest

from inference.device.device import Device
from inference.device.failures import DeviceLost
from inference.device.staging import Staging
from inference.device.work import FrameFailure, LabelledFrame, Work
from inference.models import Output, Pixels
from inference.models.null import INFO, NullModel
from inference.worker.group.work_in_flight import WorkInFlight
from inference.worker.labels_out import LabelsOut
from inference.worker.pipeline import Pipeline
from inference.worker.read_batch import read_work
from infra.failures.unknown_versions import VersionGuard
from infra.kafka.records import ConsumedRecord
from infra.kafka.sender import OutRecord
from infra.kafka.topics import TopicNames
from infra.process.lifecycle import Deadline, Stop
from infra.settings import RetrySettings
from schemas import codec
from schemas.coordinates import TopicPartition
from schemas.headers import attempt_of
from tests.support.batches import batch_record, micro_batch, row
from tests.support.models import LOST, OutOfMemoryError, marked, wrap

BATCHES = TopicPartition("frames.batches", 3)
NAMES = TopicNames.for_lane("")
BIG = 7

GUARD = VersionGuard("this worker", ())


class Tensor(np.ndarray[tuple[int], np.dtype[np.uint8]]):
    """Memory that a test can see freed."""


class Card(NullModel):
    """A device with memory for `fits` images; an image marked BIG never fits, and one marked LOST breaks it."""

    def __init__(self, fits: int) -> None:
        super().__init__(1)
        self.fits, self.is_lost = fits, False
        self.runs: list[int] = []
        self.alive: list[weakref.ref[Tensor]] = []

    def run(self, pixels: Pixels) -> Output:
        tensor = np.zeros(10_000, np.uint8).view(Tensor)
        self.alive.append(weakref.ref(tensor))
        self.runs.append(len(pixels))
        marks = pixels[:, 1]
        self.is_lost |= bool((marks == LOST).any())
        if self.is_lost:
            wrap(RuntimeError("CUDA error: device-side assert triggered"))
        if len(pixels) > self.fits or (marks == BIG).any():
            wrap(OutOfMemoryError("CUDA out of memory"))
        return super().run(pixels)


class Delivery:
    def __init__(self) -> None:
        self.released: list[tuple[Work, list[OutRecord]]] = []

    def release(self, work: Work, records: list[OutRecord]) -> None:
        self.released.append((work, records))

    def tick(self, now_s: float) -> None: ...

    def finish(self, awaited: Collection[Work], deadline: Deadline) -> None: ...

    def close(self, deadline: Deadline) -> None: ...


class Frames:
    def __init__(self) -> None:
        self.asked = 0

    def fetch(self, partition: TopicPartition, offsets: Iterable[int]) -> dict[int, ConsumedRecord]:
        self.asked += 1
        return {offset: ConsumedRecord(*partition, offset, 1_700, b"cam", b"frame", []) for offset in offsets}


class Rig:
    def __init__(self, model: Card, max_rows: int = 8) -> None:
        self.stop, self.delivery, self.frames, self.in_flight = Stop(), Delivery(), Frames(), WorkInFlight()
        self.staging = Staging(INFO.input, max_rows, 0)
        self.in_flight.assign([BATCHES])
        labels_out = LabelsOut(NAMES, RetrySettings(), self.frames, with_review=True)
        self.pipeline = Pipeline(
            Device(model, max_rows), self.staging, self.in_flight, labels_out, self.delivery, self.stop, 100, 0.1
        )
        self.pipeline.start()
        self.next_offset = 0

    def put(self, frames: int, marks: dict[int, int]) -> Work:
        offsets = range(100 * self.next_offset, 100 * self.next_offset + frames)
        batch = micro_batch("frames.raw", 3, offsets, lambda one: marked(row(one), marks.get(one % 100, 0)))
        generation = self.in_flight.generation(BATCHES)
        assert generation is not None
        work = read_work(batch_record(BATCHES, self.next_offset, codec.encode(batch)), generation, INFO.input, GUARD)
        self.in_flight.start_work(work)
        self.staging.put(work)
        self.next_offset += 1
        return work

    def wait(self, released: int) -> None:
        until_s = time.monotonic() + 20
        while len(self.delivery.released) < released and not self.stop.is_set():
            assert time.monotonic() < until_s
            time.sleep(0.002)

    def close(self) -> None:
        self.staging.close()
        self.pipeline.join(10)
        assert self.pipeline.stuck() == []


def test_a_device_with_less_memory_than_thought_labels_every_frame_and_is_asked_for_less_from_then_on() -> None:
    model = Card(fits=3)
    rig = Rig(model)
    for count in range(1, 4):
        rig.put(8, {})
        rig.wait(count)
    rig.close()
    assert rig.stop.error is None and rig.frames.asked == 0
    for work, records in rig.delivery.released:
        assert all(isinstance(outcome, LabelledFrame) for outcome in work.outcomes.values())
        assert {record.topic for record in records} == {NAMES.labels}
    assert model.runs == [8, 4, *[2] * 4, *[2] * 8]


def test_a_frame_that_never_fits_is_retried_and_its_error_holds_no_tensor() -> None:
    model = Card(fits=8)
    rig = Rig(model)
    gc.disable()
    try:
        rig.put(8, {5: BIG})
        rig.wait(1)
        ((work, records),) = rig.delivery.released
        failed = [index for index, outcome in work.outcomes.items() if isinstance(outcome, FrameFailure)]
        assert failed == [5]
        assert [(record.topic, attempt_of(record.headers)) for record in records if record.topic != NAMES.labels] == [
            (NAMES.retry, 1)
        ]
        assert [ref() for ref in model.alive] == [None] * len(model.alive)
    finally:
        gc.enable()
        rig.close()


@pytest.mark.parametrize("behind", [0, 3])
def test_a_lost_device_ends_the_worker_and_no_frame_has_an_outcome(behind: int) -> None:
    rig = Rig(Card(fits=8))
    before = rig.put(8, {})
    rig.wait(1)
    lost = [rig.put(8, {2: LOST}), *(rig.put(8, {}) for _ in range(behind))]
    assert rig.stop.wait(10)
    rig.close()
    assert isinstance(rig.stop.error, DeviceLost)
    assert [work for work, _ in rig.delivery.released] == [before]  # this one may be committed
    assert [work.outcomes for work in lost] == [{}] * (1 + behind)
    assert rig.frames.asked == 0
