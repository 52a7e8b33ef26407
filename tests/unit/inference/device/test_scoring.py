"""Failures of the model: split, retry, and tell which rows got no answer."""

import numpy as np
import pytest

from inference.device.scoring import Interrupted, RetryLimit, ScoredRows, checked, is_out_of_memory, score
from inference.models import Output, Pixels
from schemas.errors import ModelError
from tests.support.models import OutOfMemoryError


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


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (OutOfMemoryError("CUDA"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
