"""What a model raises, by what can be done about it; and that nothing of a failed run stays alive."""

import errno
import gc
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from inference.device import failures
from inference.device.failures import DeviceLost, FailureKind, RunFailure, attempt, kind_of, released
from inference.device.scoring import RetryLimit, score
from inference.device.working_size import WorkingSize
from inference.models import Output, Pixels
from schemas.errors import ModelError
from tests.support.models import OutOfMemoryError

NO_MEMORY, LOST, OTHER = FailureKind.OUT_OF_MEMORY, FailureKind.DEVICE_LOST, FailureKind.OTHER

# As torch 2.15 names and nests it.
AcceleratorError = type("AcceleratorError", (RuntimeError,), {})


def wrapped(error: Exception) -> Exception:
    """As the runtimes wrap it."""
    try:
        try:
            raise error
        except Exception as caught:
            raise ModelError(f"net: cuda bf16 failed on a batch of 8: {type(caught).__name__}") from caught
    except ModelError as outer:
        return outer


RAISED = [
    (MemoryError(), NO_MEMORY),
    (OutOfMemoryError("CUDA"), NO_MEMORY),
    (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79 GiB"), NO_MEMORY),
    (AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"), NO_MEMORY),
    (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), NO_MEMORY),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), NO_MEMORY),
    (RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"), NO_MEMORY),
    (RuntimeError("std::bad_alloc"), NO_MEMORY),
    (
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried"),
        NO_MEMORY,
    ),
    (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"), NO_MEMORY),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), NO_MEMORY),
    (ModelError("OpenVINO failed on a batch: Failed to allocate 4096 bytes of memory"), NO_MEMORY),
    (AcceleratorError("CUDA error: device-side assert triggered\nFor debugging consider"), LOST),
    (RuntimeError("CUDA error: an illegal memory access was encountered"), LOST),
    (RuntimeError("CUDA error: unspecified launch failure"), LOST),
    (RuntimeError("CUDA error: uncorrectable ECC error encountered"), LOST),
    (RuntimeError("CUDA error: misaligned address"), LOST),
    (RuntimeError("CUDA error: operation not supported on global/shared address space"), LOST),
    (RuntimeError("CUDA error: the launch timed out and was terminated"), LOST),
    (RuntimeError("CUDA error: unknown error"), LOST),
    (RuntimeError("CUDA error: a kind of error that is newer than this test"), LOST),
    (RuntimeError("CUDA driver error: device kernel image is invalid"), LOST),
    (RuntimeError("HIP error: an illegal memory access was encountered"), LOST),
    (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), LOST),
    (ModelError("the assistant failed: CUDA error: device-side assert triggered"), LOST),
    (RuntimeError("CUDA error: invalid argument"), OTHER),
    (RuntimeError("CUDA error: invalid configuration argument"), OTHER),
    (RuntimeError("CUDA error: operation not supported"), OTHER),
    (RuntimeError("CUDA error: too many resources requested for launch"), OTHER),
    (RuntimeError("CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasSgemm`"), OTHER),
    (RuntimeError("CUDA error"), OTHER),
    (RuntimeError("shape mismatch"), OTHER),
    (ValueError("out of memory"), OTHER),
    (OSError(errno.ENOENT, "no such file"), OTHER),
    (ModelError("bad"), OTHER),
]


@pytest.mark.parametrize(("error", "kind"), RAISED)
def test_what_can_be_done_about_an_error(error: Exception, kind: FailureKind) -> None:
    assert kind_of(error) is kind
    assert kind_of(wrapped(error)) is kind


def test_an_error_that_led_to_itself_is_read_once() -> None:
    one, other = ModelError("one"), MemoryError()
    one.__cause__, other.__cause__ = other, one
    assert kind_of(one) is NO_MEMORY


def test_several_errors_at_once_are_all_read() -> None:
    assert kind_of(ExceptionGroup("both", [ValueError(), RuntimeError("CUDA error: unknown error")])) is LOST


def test_the_kept_text_is_one_line_and_bounded() -> None:
    assert released(RuntimeError("CUDA out of memory.\nadvice\n" * 9)).text == "RuntimeError: CUDA out of memory."
    assert len(released(ValueError("x" * 10_000)).text) == failures.MAX_TEXT
    assert released(ModelError("net failed")).text == "net failed"
    assert released(MemoryError()).text == "MemoryError: "


class Tensor(np.ndarray[tuple[int], np.dtype[np.uint8]]):
    """Memory that a test can see freed."""


@pytest.fixture
def _without_the_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


KEPT: list[object] = []


def plain(tensor: Tensor, error: Exception) -> None:
    raise error


def through_a_wrapper(tensor: Tensor, error: Exception) -> None:
    try:
        plain(tensor, error)
    except Exception as inner:
        held = inner  # a reference cycle: the exception holds this frame, and the frame the exception
        raise ModelError("wrapped") from held


def kept_by_the_model(tensor: Tensor, error: Exception) -> None:
    KEPT[:] = [error]
    through_a_wrapper(tensor, error)


def kept_with_its_traceback(tensor: Tensor, error: Exception) -> None:
    try:
        plain(tensor, error)
    except Exception as caught:
        KEPT[:] = [caught.__traceback__]
        raise


@pytest.mark.usefixtures("_without_the_collector")
@pytest.mark.parametrize("fails", [plain, through_a_wrapper, kept_by_the_model, kept_with_its_traceback])
@pytest.mark.parametrize("error", [OutOfMemoryError("out of memory"), ValueError("bad"), MemoryError()])
def test_the_tensors_of_a_failed_run_are_freed_when_the_failure_is_known(
    fails: Callable[[Tensor, Exception], None], error: Exception
) -> None:
    """Without this the next, smaller run has the memory of the last one against it."""
    alive: list[weakref.ref[Tensor]] = []

    def run(pixels: Pixels) -> Output:
        assert [ref() for ref in alive] == [None] * len(alive), "a tensor of the run before is still alive"
        tensor = np.zeros(1000, np.uint8).view(Tensor)
        alive.append(weakref.ref(tensor))
        fails(tensor, error.with_traceback(None))
        raise AssertionError

    limit = RetryLimit(0.5, lambda seconds: False, iter(np.arange(0, 100, 0.05)).__next__)
    scored = score(run, np.zeros((4, 3), np.uint8), limit, WorkingSize(4))
    assert len(scored) == 4 and all(isinstance(piece.error, ModelError) for piece in scored)
    assert len(alive) > 7
    assert [ref() for ref in alive] == [None] * len(alive)


@pytest.mark.usefixtures("_without_the_collector")
def test_a_lost_device_holds_nothing_either() -> None:
    alive: list[weakref.ref[Tensor]] = []

    def run() -> None:
        tensor = np.zeros(1000, np.uint8).view(Tensor)
        alive.append(weakref.ref(tensor))
        through_a_wrapper(tensor, RuntimeError("CUDA error: unspecified launch failure"))

    with pytest.raises(DeviceLost) as lost:
        attempt(run)
    assert alive[0]() is None
    assert lost.value.__context__ is None
    assert "unspecified launch failure" in str(lost.value) and "to be started again" in str(lost.value)


def test_memory_that_cannot_be_given_back_is_no_failure_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("CUDA error: invalid argument")

    monkeypatch.setattr(failures, "_free_memory", fail)
    assert isinstance(attempt(lambda: plain(np.zeros(1).view(Tensor), MemoryError())), RunFailure)


def test_a_device_that_turns_out_to_be_lost_when_memory_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(failures, "_free_memory", fail)
    with pytest.raises(DeviceLost):
        attempt(lambda: plain(np.zeros(1).view(Tensor), MemoryError()))
