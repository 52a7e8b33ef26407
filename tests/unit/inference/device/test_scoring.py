"""Failures of the model: split, retry, and tell which rows got no answer."""

import numpy as np
import pytest
from prometheus_client import REGISTRY

from inference.device.failures import DeviceLost
from inference.device.scoring import Interrupted, RetryLimit, RunModel, ScoredRows, checked
from inference.device.scoring import score as score_with
from inference.device.working_size import WorkingSize
from inference.models import Output, Pixels
from schemas.errors import ModelError


class Clock:
    """Time that only passes while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []
        self.is_stopping = False

    def sleep(self, seconds: float) -> bool:
        self.slept.append(seconds)
        self.now_s += seconds
        return self.is_stopping

    def limit(self, limit_s: float = 5.0) -> RetryLimit:
        return RetryLimit(limit_s, self.sleep, lambda: self.now_s)


class Model:
    """Answers a row with its number; fails as told."""

    def __init__(self, fits: int = 99, bad: tuple[int, ...] = (), fails_first: int = 0, error: Exception | None = None):
        self.fits, self.bad, self.fails_first = fits, bad, fails_first
        self.error = error or ModelError("bad")
        self.runs: list[list[int]] = []

    def __call__(self, pixels: Pixels) -> Output:
        rows = pixels[:, 0].tolist()
        self.runs.append(rows)
        if len(rows) > self.fits:
            raise MemoryError("too many")
        if set(rows) & set(self.bad):
            raise self.error
        if len(self.runs) <= self.fails_first:
            raise self.error
        return Output(pixels[:, :1].astype(np.int32), np.ones((len(rows), 1), np.float32))


def score(run: RunModel, images: Pixels, limit: RetryLimit) -> list[ScoredRows]:
    """With a device that has learned nothing yet."""
    return score_with(run, images, limit, WorkingSize(len(images)))


def pixels(count: int) -> Pixels:
    return np.arange(count, dtype=np.uint8).reshape(count, 1)


def answers(scored: list[ScoredRows]) -> dict[int, object]:
    found: dict[int, object] = {}
    for piece in scored:
        for row in range(piece.count):
            answer = piece.output.class_index[row, 0] if piece.output is not None else piece.error
            found[piece.start + row] = answer
    return found


@pytest.mark.parametrize("fits", [1, 2, 3, 7, 8])
def test_out_of_memory_splits_down_to_what_fits(fits: int) -> None:
    clock, model = Clock(), Model(fits=fits)
    scored = score(model, pixels(8), clock.limit())
    assert answers(scored) == {row: row for row in range(8)}
    assert [piece.start for piece in scored] == sorted(piece.start for piece in scored)
    assert clock.slept == []  # a smaller batch is tried at once


def test_the_time_of_the_model_holds_successful_runs_only() -> None:
    def runs() -> float:
        return REGISTRY.get_sample_value("sightline_model_run_seconds_count") or 0.0

    before, model = runs(), Model(fits=2, bad=(3,))
    score(model, pixels(4), Clock().limit())
    assert len(model.runs) > 3
    assert runs() - before == 2, "rows 0 and 1, then row 2 alone"


def test_one_bad_frame_costs_no_other_its_label() -> None:
    clock, model = Clock(), Model(bad=(5,))
    found = answers(score(model, pixels(8), clock.limit()))
    assert {row for row, answer in found.items() if answer == row} == {0, 1, 2, 3, 4, 6, 7}
    assert isinstance(found[5], ModelError)


def test_a_row_is_retried_with_growing_jittered_waits_until_the_limit() -> None:
    clock, model = Clock(), Model(bad=(0,))
    (piece,) = score(model, pixels(1), clock.limit(limit_s=5.0))
    assert isinstance(piece.error, ModelError)
    assert 5.0 <= clock.now_s <= 7.0
    assert clock.slept[0] < clock.slept[3] <= 1.05
    assert len(model.runs) == len(clock.slept) + 1


def test_a_failure_that_passes_is_nobodys_loss() -> None:
    clock, model = Clock(), Model(fails_first=6, error=RuntimeError("CUDA error"))
    assert answers(score(model, pixels(4), clock.limit())) == {row: row for row in range(4)}


def test_the_limit_is_the_whole_runs() -> None:
    clock, model = Clock(), Model(bad=tuple(range(16)))
    found = answers(score(model, pixels(16), clock.limit(limit_s=2.0)))
    assert all(isinstance(answer, ModelError) for answer in found.values())
    assert clock.now_s < 4.0


def test_a_frame_that_never_works_takes_no_time_from_one_that_soon_does() -> None:
    """Also when it stands before it: what failed is retried in rounds."""
    clock, failures = Clock(), iter([True, True, True])

    def run(images: Pixels) -> Output:
        rows = images[:, 0].tolist()
        if 1 in rows or (3 in rows and next(failures, False)):
            raise ModelError("bad")
        return Output(images[:, :1].astype(np.int32), np.ones((len(rows), 1), np.float32))

    found = answers(score_with(run, pixels(6), clock.limit(limit_s=1.0), WorkingSize(1)))
    assert {row for row, answer in found.items() if answer == row} == {0, 2, 3, 4, 5}
    assert list(found) == sorted(found)
    assert isinstance(found[1], ModelError)


def test_the_end_of_the_worker_cuts_the_waits() -> None:
    clock, model = Clock(), Model(bad=(0,))
    clock.is_stopping = True
    with pytest.raises(Interrupted):
        score(model, pixels(1), clock.limit())


def output(
    index: object, probability: object = None, embedding: object = None, dtype: type[np.generic] = np.int32
) -> Output:
    indices = np.array(index, dtype)
    probabilities = np.full(indices.shape, 0.5, np.float32) if probability is None else np.array(probability)
    return Output(indices, probabilities, None if embedding is None else np.array(embedding, np.float16))


@pytest.mark.parametrize(
    "given",
    [
        output([[0, 9], [9, 0]]),
        output([[0, 1], [2, 3]], [[0.5, 0.5], [1.0, 0.0]], [[1.0], [np.nan]]),
        output([[0], [255]], dtype=np.uint8, probability=[[1], [0]]),
        output([[], []]),
    ],
)
def test_an_output_that_labels_can_be_made_of_is_passed_on(given: Output) -> None:
    assert checked(lambda _: given, 256 if given.class_index.dtype == np.uint8 else 10)(pixels(2)) is given


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (output([[0, 1]]), r"class_index \[1, 2\] and probability \[1, 2\] for 2 images"),
        (output([[0], [1], [2]]), "for 2 images"),
        (output([0, 1]), "for 2 images"),
        (output(0), "for 2 images"),
        (output([[0, 1], [2, 3]], [[0.5], [0.5]]), "for 2 images"),
        (output([[0], [1]], [0.5, 0.5]), "for 2 images"),
        (output([[0], [1]], embedding=[[1.0]]), r"embedding \[1, 1\] for 2 images"),
        (output([[0], [10]]), "none of 10 classes"),
        (output([[0], [-1]]), "none of 10 classes"),
        (output([[0], [1]], dtype=np.float32), "none of 10 classes"),
        (output([[0], [1]], [[0.5], [np.nan]]), "no finite number"),
        (output([[0], [1]], [[0.5], [np.inf]]), "no finite number"),
    ],
)
def test_an_output_that_no_labels_can_be_made_of_is_a_failure_of_the_model(given: Output, fault: str) -> None:
    with pytest.raises(ModelError, match=fault):
        checked(lambda _: given, 10)(pixels(2))


@pytest.mark.parametrize("given", [None, ([[0]], [[0.5]]), Output([[0]], [[0.5]])])  # type: ignore[arg-type]
def test_what_is_no_output_at_all_fails_the_run_too(given: Output) -> None:
    (piece,) = score(checked(lambda _: given, 10), pixels(1), Clock().limit(limit_s=0.1))
    assert piece.error is not None


def test_a_frame_with_a_class_that_the_model_lacks_costs_no_other_its_label() -> None:
    clock = Clock()
    found = answers(score(checked(Model(), 5), pixels(6), clock.limit()))
    assert {row for row, answer in found.items() if answer == row} == {0, 1, 2, 3, 4}
    assert isinstance(found[5], ModelError)
    assert clock.now_s < 7.0


def test_what_ran_out_of_memory_is_not_tried_again_in_that_size_for_a_while() -> None:
    clock, model, sizes = Clock(), Model(fits=3), WorkingSize(8)
    score_with(model, pixels(8), clock.limit(), sizes)
    assert max(map(len, model.runs)) == 8
    for _ in range(2):
        model.runs.clear()
        assert answers(score_with(model, pixels(8), clock.limit(), sizes)) == {row: row for row in range(8)}
        assert [len(run) for run in model.runs] == [2, 2, 2, 2]
    model.fits, clock.now_s = 99, 1_000.0
    for fitted in ([4, 4], [4, 4]):  # one step larger, and the next one only after another while
        model.runs.clear()
        assert answers(score_with(model, pixels(8), clock.limit(), sizes)) == {row: row for row in range(8)}
        assert [len(run) for run in model.runs] == fitted


def test_a_frame_that_does_not_fit_by_itself_fails_alone_after_its_retries() -> None:
    clock = Clock()
    (piece,) = score(Model(fits=0), pixels(1), clock.limit())
    assert type(piece.error) is ModelError and "too many" in str(piece.error)
    assert clock.now_s >= 5.0


def test_a_lost_device_is_nobodys_failure_and_ends_at_once() -> None:
    clock, model = Clock(), Model(bad=(3,), error=RuntimeError("CUDA error: device-side assert triggered"))
    with pytest.raises(DeviceLost, match="device-side assert"):
        score(model, pixels(8), clock.limit())
    assert len(model.runs) == 1 and clock.slept == []


def test_a_device_that_is_lost_while_a_frame_is_retried_ends_the_retries() -> None:
    clock, model = Clock(), Model(bad=(0,))

    def sleep(seconds: float) -> bool:
        model.error = ModelError("CUDA error: an illegal memory access was encountered")
        return clock.sleep(seconds)

    with pytest.raises(DeviceLost):
        score(model, pixels(1), RetryLimit(5.0, sleep, lambda: clock.now_s))
    assert len(clock.slept) == 1


def test_the_kept_error_was_never_raised() -> None:
    (piece,) = score(Model(bad=(0,), error=ValueError("shape")), pixels(1), Clock().limit(limit_s=0.1))
    error = piece.error
    assert str(error) == "ValueError: shape"
    assert error is not None
    assert (error.__traceback__, error.__context__, error.__cause__) == (None, None, None)
