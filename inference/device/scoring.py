"""Runs the model and handles its failures: splits what does not fit, retries what failed, tells which rows failed."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tenacity

from inference.device.failures import FailureKind, RunFailure, attempt
from inference.device.working_size import WorkingSize
from inference.models.base import Output, Pixels
from infra.process import logs, metrics
from schemas.errors import ModelError

log = logs.get(__name__)

RunModel = Callable[[Pixels], Output]
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 1.0


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """Rows `start .. start + count` of a run: either their output, or (then it is one row) its error.

    The error is new and was never raised, so it holds nothing of the run.
    """

    start: int
    count: int
    output: Output | None = None
    error: ModelError | None = None


class Interrupted(Exception):
    """The worker stops; what is in flight is dropped and not committed."""


@dataclass(frozen=True, slots=True)
class RetryLimit:
    """How long one run may be retried. `sleep` returns True when the stop of the worker cut it short."""

    limit_s: float
    sleep: Callable[[float], bool]
    now_s: Callable[[], float]


def checked(run: RunModel, class_count: int) -> RunModel:
    """`run`, with a ModelError for an output that labels cannot be made of: a custom model may return anything."""

    def checked_run(pixels: Pixels) -> Output:
        output = run(pixels)
        fault = _fault(output, len(pixels), class_count)
        if fault is not None:
            raise ModelError(f"the model's output cannot be used: {fault}")
        return output

    return checked_run


def _fault(output: Output, count: int, class_count: int) -> str | None:
    index, probability, embedding = output.class_index, output.probability, output.embedding
    if index.ndim != 2 or len(index) != count or probability.shape != index.shape:
        return f"class_index {list(index.shape)} and probability {list(probability.shape)} for {count} images"
    if embedding is not None and len(embedding) != count:
        return f"embedding {list(embedding.shape)} for {count} images"
    if index.dtype.kind not in "iu" or not ((index >= 0) & (index < class_count)).all():
        return f"a class_index that is none of {class_count} classes"
    if not np.isfinite(probability).all():
        return "a probability that is no finite number"
    return None


def score(run: RunModel, pixels: Pixels, limit: RetryLimit, sizes: WorkingSize) -> list[ScoredRows]:
    """The result of every row, in order. Rows that fail together are halved until single rows fail; those are retried.

    No more rows are run together than `sizes` allows. All rows that failed share the limit: a broken model delays a run
    once, not once per row. Raises DeviceLost, and Interrupted when the worker stops.
    """
    pieces, scored, shape = [(0, len(pixels))], list[ScoredRows](), pixels.shape[1]
    failed: dict[int, RunFailure] = {}
    while pieces:
        start, count = pieces.pop()
        allowed = sizes.allowed(shape, limit.now_s())
        if count > allowed:
            pieces.append((start + allowed, count - allowed))
            count = allowed
        outcome = _run_rows(run, pixels[start : start + count])
        if not isinstance(outcome, RunFailure):
            sizes.fitted(shape, count, limit.now_s())
            scored.append(ScoredRows(start, count, outcome))
            continue
        log.warning("the model failed", images=count, kind=outcome.kind.value, error=outcome.text[:200])
        if outcome.kind is FailureKind.OUT_OF_MEMORY:
            sizes.ran_out(shape, count, limit.now_s())
        if count > 1:
            half = count // 2
            pieces += [(start + half, count - half), (start, half)]
        else:
            failed[start] = outcome
    if failed:
        scored += _retried(run, pixels, failed, limit)
    return sorted(scored, key=lambda piece: piece.start)


def _run_rows(run: RunModel, rows: Pixels) -> Output | RunFailure:
    started_s = time.monotonic()
    outcome = attempt(lambda: run(rows))
    if not isinstance(outcome, RunFailure):
        metrics.MODEL_RUN_SECONDS.observe(time.monotonic() - started_s)
    elif outcome.kind is FailureKind.OUT_OF_MEMORY:
        metrics.OUT_OF_MEMORY.inc()
    return outcome


def _retried(run: RunModel, pixels: Pixels, failed: dict[int, RunFailure], limit: RetryLimit) -> list[ScoredRows]:
    """The results of the rows that failed by themselves: each is run again in every round, until the time is over."""
    scored: list[ScoredRows] = []
    rounds = itertools.count()

    def next_round() -> bool:
        """Whether rows are left. The failures that led here count as the first round."""
        if next(rounds):
            for row in list(failed):
                outcome = _run_rows(run, pixels[row : row + 1])
                if isinstance(outcome, RunFailure):
                    failed[row] = outcome
                else:
                    del failed[row]
                    scored.append(ScoredRows(row, 1, outcome))
        return bool(failed)

    _retrying(limit)(next_round)
    for row, failure in failed.items():
        log.warning("the model failed on a frame", error=failure.text)
        scored.append(ScoredRows(row, 1, error=ModelError(failure.text)))
    return scored


def _retrying(limit: RetryLimit) -> tenacity.Retrying:
    end_s = limit.now_s() + limit.limit_s

    def sleep(seconds: float) -> None:
        if limit.sleep(seconds):
            raise Interrupted

    return tenacity.Retrying(
        stop=lambda _: limit.now_s() >= end_s,
        wait=tenacity.wait_exponential(FIRST_WAIT_S, LONGEST_WAIT_S) + tenacity.wait_random(0, FIRST_WAIT_S),
        retry=tenacity.retry_if_result(bool),
        sleep=sleep,
        retry_error_callback=lambda _: True,  # instead of an exception after the last round
    )
