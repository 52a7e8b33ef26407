"""The device's side of a failure: split what does not fit, retry what failed, tell which rows got no answer."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tenacity

from inference.models.base import Output, Pixels
from infra.process import logs
from schemas.errors import ModelError

log = logs.get(__name__)

Run = Callable[[Pixels], Output]
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 1.0


@dataclass(frozen=True, slots=True)
class Scored:
    """Rows `start .. start + count` of a run: either their output, or the error that one row was left with."""

    start: int
    count: int
    output: Output | None = None
    error: Exception | None = None


class Interrupted(Exception):
    """The worker stops; what was under way is dropped and not committed."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one run may go on failing. `sleep` returns True when the wait was cut short by the end of the worker."""

    limit_s: float
    sleep: Callable[[float], bool]
    now_s: Callable[[], float]


def is_out_of_memory(error: BaseException) -> bool:
    """Of the host or of the device; torch's class is known by its name, since torch need not be loaded."""
    text = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
        or (isinstance(error, RuntimeError) and ("out of memory" in text or "bad_alloc" in text))
    )


def checked(run: Run, class_count: int) -> Run:
    """`run`, but ModelError for an output that no labels can be made of: a model of one's own may give anything."""

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


def score(run: Run, pixels: Pixels, patience: Patience) -> list[Scored]:
    """Every row, in order. A piece that fails is halved until single rows fail; those are retried within the limit.

    The limit is the whole run's, from its first failure: a broken model holds the others up once, not once per row.
    Raises Interrupted when the worker stops meanwhile.
    """
    pieces, scored = [(0, len(pixels))], list[Scored]()
    retry: tenacity.Retrying | None = None
    while pieces:
        start, count = pieces.pop()
        try:
            scored.append(Scored(start, count, run(pixels[start : start + count])))
        except Exception as error:  # noqa: BLE001 - whatever a model raises, it is the model that failed
            _after_failure(error, count)
            retry = retry or _retrying(patience)
            if count > 1:
                half = count // 2
                pieces += [(start + half, count - half), (start, half)]
            else:
                scored.append(_retry_row(run, pixels, start, retry, error))
    return scored


def _retry_row(run: Run, pixels: Pixels, row: int, retry: tenacity.Retrying, first: Exception) -> Scored:
    attempts = iter([first])

    def attempt() -> Output:
        for error in attempts:  # the failure that brought us here was the first attempt
            raise error
        return run(pixels[row : row + 1])

    try:
        return Scored(row, 1, retry(attempt))
    except Interrupted:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        log.warning("the model failed on a frame", error_class=type(error).__name__, error=str(error))
        return Scored(row, 1, error=error)


def _retrying(patience: Patience) -> tenacity.Retrying:
    end_s = patience.now_s() + patience.limit_s

    def sleep(seconds: float) -> None:
        if patience.sleep(seconds):
            raise Interrupted

    return tenacity.Retrying(
        stop=lambda _: patience.now_s() >= end_s,
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
