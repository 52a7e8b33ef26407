"""How a model fails: memory is short, the device is lost to this process, or anything else.

What a model raises is known by its text and by the name of its class, through whatever it was wrapped in: torch may not
be loaded, and a custom model wraps as it likes.
"""

import errno
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from schemas.errors import ModelError, Stalled

T = TypeVar("T")

MAX_TEXT = 1_000
MAX_CHAIN = 16

# Of torch on the device and on the CPU, of CUDA's libraries, of oneDNN and OpenVINO.
_NO_MEMORY = re.compile(
    r"out of memory|bad_alloc|(can't|cannot|failed to) allocate|not enough memory|status_alloc_failed"
    # what cuDNN and cuBLAS say when there is no room for their workspace or handle
    r"|unable to find a valid cudnn algorithm|cublas_status_not_initialized",
    re.IGNORECASE,
)
_CUDA_ERROR = re.compile(r"\b(?:cuda|hip)(?: driver)? error: *(.*)", re.IGNORECASE)
# Errors of one call, after which CUDA goes on: https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html.
# Of the others it says "the process must be terminated and relaunched", or that the device is gone.
_ONE_CALL = re.compile(
    r"invalid (argument|configuration argument|device function|resource handle)|too many resources requested"
    r"|no kernel image|operation not supported$|cu\w+_status_",
    re.IGNORECASE,
)
_LOST = re.compile(
    r"device-side assert|illegal memory access|unspecified launch failure|uncorrectable (ecc|nvlink) error"
    r"|cu(dnn|blas)_status_(execution_failed|mapping_error)",
    re.IGNORECASE,
)


class FailureKind(Enum):
    OUT_OF_MEMORY = "out of memory"
    DEVICE_LOST = "device lost"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class RunFailure:
    """What is kept of an exception: its text. The exception itself holds the tensors of the frames it came through."""

    kind: FailureKind
    text: str


class DeviceLost(Stalled):
    """Every further call of this process to its device fails: only a new process can go on. No frame is at fault."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"the device is lost to this process ({text}): it ends, to be started again, and the frames that it had "
            "not labelled are read again"
        )


def attempt(call: Callable[[], T]) -> T | RunFailure:
    """What `call` returns, or how it failed. Raises DeviceLost.

    When this returns, nothing holds the exception or what was alive in its frames, so their memory can be used again.
    """
    outcome = _called(call)
    if isinstance(outcome, RunFailure) and outcome.kind is FailureKind.OUT_OF_MEMORY:
        _called(_free_memory)
    return outcome


def _called(call: Callable[[], T]) -> T | RunFailure:
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - whatever a model raises, the model has failed
        failure = released(error)
    if failure.kind is FailureKind.DEVICE_LOST:
        raise DeviceLost(failure.text)  # outside of the handler, so that it has no context
    return failure


def released(error: BaseException) -> RunFailure:
    """How it failed. The frames of the exception, and of those that led to it, let go of what they hold."""
    chain = list(_chain(error))
    kind = _kind(chain)
    failure = RunFailure(kind, _text(next(each for each in chain if _own_kind(each) is kind)))
    for each in chain:
        traceback.clear_frames(each.__traceback__)
        each.__traceback__ = None
    return failure


def kind_of(error: BaseException) -> FailureKind:
    return _kind(list(_chain(error)))


def _kind(chain: list[BaseException]) -> FailureKind:
    kinds = [_own_kind(each) for each in chain]
    for kind in (FailureKind.DEVICE_LOST, FailureKind.OUT_OF_MEMORY):
        if kind in kinds:
            return kind
    return FailureKind.OTHER


def _own_kind(error: BaseException) -> FailureKind:
    """Without the exceptions that led to it."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return FailureKind.OUT_OF_MEMORY
    if any(each.__name__ == "OutOfMemoryError" for each in type(error).__mro__):
        return FailureKind.OUT_OF_MEMORY
    if not isinstance(error, RuntimeError | ModelError):
        return FailureKind.OTHER
    text = str(error)[: 4 * MAX_TEXT]
    if _NO_MEMORY.search(text):
        return FailureKind.OUT_OF_MEMORY
    found = _CUDA_ERROR.search(text)
    if _LOST.search(text) or (found is not None and not _ONE_CALL.match(found[1])):
        return FailureKind.DEVICE_LOST
    return FailureKind.OTHER


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception, and those that led to it."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < MAX_CHAIN:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [before for before in (each.__context__, each.__cause__) if before is not None]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions


def _text(error: BaseException) -> str:
    """One line: torch appends advice for debugging."""
    lines = str(error).strip().splitlines()
    text = lines[0].strip() if lines else ""
    return (text if isinstance(error, ModelError) else f"{type(error).__name__}: {text}")[:MAX_TEXT]


def _free_memory() -> None:
    """Give back what torch keeps for later: another process on the device, or a larger block, may need it."""
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
