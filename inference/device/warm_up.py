"""The warm-up of a model, which finds out what fits: a size that runs out of memory here does so in every run."""

from collections.abc import Callable

from inference.device.failures import FailureKind, RunFailure, attempt, kind_of
from inference.device.working_size import WorkingSize
from inference.models.base import Model
from infra.process import logs, metrics
from schemas.errors import ModelError

log = logs.get(__name__)


def warm_up(model: Model, sizes: tuple[int, ...], working: WorkingSize, now_s: Callable[[], float]) -> None:
    """Run each of the rising `sizes` once, in the thread that runs the model later.

    Sizes that memory is too short for are left out, and `working` remembers them. Raises ModelError and DeviceLost.
    """
    shape = model.input.row_bytes(model.input.encoding)
    while isinstance(failure := attempt(lambda: _warm(model, sizes)), RunFailure):  # noqa: B023 - called at once
        if failure.kind is not FailureKind.OUT_OF_MEMORY or len(sizes) == 1:
            raise ModelError(f"the warm-up of the model failed: {failure.text}")
        metrics.OUT_OF_MEMORY.inc()
        log.warning("memory is too short for the largest run", images=sizes[-1], error=failure.text[:200])
        working.ran_out(shape, sizes[-1], now_s())
        sizes = sizes[:-1]


def _warm(model: Model, sizes: tuple[int, ...]) -> None:
    try:
        model.warm(sizes)
    except Exception as error:
        if kind_of(error) is FailureKind.OTHER:
            log.exception("the warm-up failed")  # of a custom model, or a defect: its author wants the traceback
        raise
