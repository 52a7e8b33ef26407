"""Runs the model and handles its failures: splits what does not fit, retries what failed, tells which rows failed."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tenacity

from inference.models.base import Output, Pixels
from infra.process import logs
from schemas.errors import ModelError

log = logs.get(__name__)

RunModel = Callable[[Pixels], Output]
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 1.0


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """Rows `start .. start + count` of a run: either their output, or (then it is one row) its error."""

    start: int
    count: int
    output: Output | None = None
    error: Exception | None = None


class Interrupted(Exception):
    """The worker stops; what is in flight is dropped and not committed."""


@dataclass(frozen=True, slots=True)
class RetryLimit:
    """How long one run may be retried. `sleep` returns True when the stop of the worker cut it short."""

    limit_s: float
    sleep: Callable[[float], bool]
    now_s: Callable[[], float]


def is_out_of_memory(error: BaseException) -> bool:
    """Of the host or of the device. Torch's exception is recognised by its name, because torch may not be loaded."""
    text = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
        or (isinstance(error, RuntimeError) and ("out of memory" in text or "bad_alloc" in text))
    )


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


def score(run: RunModel, pixels: Pixels, limit: RetryLimit) -> list[ScoredRows]:
    """The result of every row, in order. Rows that fail together are halved until single rows fail; those are retried.

    The limit holds for the whole run, from its first failure on: a broken model delays a run once, not once per row.
    Raises Interrupted when the worker stops meanwhile.
    """
    pieces, scored = [(0, len(pixels))], list[ScoredRows]()
    retry: tenacity.Retrying | None = None
    while pieces:
        start, count = pieces.pop()
        try:
            scored.append(ScoredRows(start, count, run(pixels[start : start + count])))
        except Exception as error:  # noqa: BLE001 - whatever a model raises, the model has failed
            _after_failure(error, count)
            retry = retry or _retrying(limit)
            if count > 1:
                half = count // 2
                pieces += [(start + half, count - half), (start, half)]
            else:
                scored.append(_retry_row(run, pixels, start, retry, error))
    return scored


def _retry_row(run: RunModel, pixels: Pixels, row: int, retry: tenacity.Retrying, first: Exception) -> ScoredRows:
    attempts = iter([first])

    def attempt() -> Output:
        for error in attempts:  # the failure that led here counts as the first attempt
            raise error
        return run(pixels[row : row + 1])

    try:
        return ScoredRows(row, 1, retry(attempt))
    except Interrupted:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        log.warning("the model failed on a frame", error_class=type(error).__name__, error=str(error))
        return ScoredRows(row, 1, error=error)


def _retrying(limit: RetryLimit) -> tenacity.Retrying:
    end_s = limit.now_s() + limit.limit_s

    def sleep(seconds: float) -> None:
        if limit.sleep(seconds):
            raise Interrupted

    return tenacity.Retrying(
        stop=lambda _: limit.now_s() >= end_s,
        wait=tenacity.wait_exponential(FIRST_WAIT_S, LONGEST_WAIT_S) + tenacity.wait_random(0, FIRST_WAIT_S),
        retry=tenacity.retry_if_not_exception_type(Interrupted),
        sleep=sleep,
        reraise=True,
    )


def _after_failure(error: Exception, count: int) -> None:
    if isinstance(error, Interrupted):
        raise error
    if is_out_of_memory(error):
        log.warning("out of memory, splitting the batch", images=count, error=str(error)[:200])
        if "torch" in sys.modules:
            torch = sys.modules["torch"]
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()
    else:
        log.warning("the model failed", images=count, error_class=type(error).__name__, error=str(error)[:200])
