"""The warm-up, which runs in the thread that runs the model and finds out what fits."""

import threading

import numpy as np
import pytest

from inference.device.device import Device
from inference.device.failures import DeviceLost
from inference.device.warm_up import warm_up
from inference.device.working_size import FIRST_WAIT_S, WorkingSize
from inference.models import Output, Pixels
from inference.models.null import NullModel
from inference.worker.command import warm_device
from infra.process.lifecycle import Stop
from infra.settings import InferSettings
from schemas.errors import ModelError
from schemas.records import PixelEncoding
from tests.support.models import OutOfMemoryError, wrap

SIZES = (1, 2, 4, 8, 16, 24)


class Small(NullModel):
    """Has memory for `fits` images; tells which thread ran what."""

    def __init__(self, fits: int = 99, error: Exception | None = None) -> None:
        super().__init__(1)
        self.fits, self.error = fits, error
        self.runs: list[int] = []
        self.threads: set[str] = set()

    def run(self, pixels: Pixels) -> Output:
        self.threads.add(threading.current_thread().name)
        self.runs.append(len(pixels))
        if self.error is not None:
            raise self.error
        if len(pixels) > self.fits:
            wrap(OutOfMemoryError("CUDA out of memory"))
        return super().run(pixels)


def warmed(model: Small) -> WorkingSize:
    working = WorkingSize(24)
    warm_up(model, SIZES, working, lambda: 0.0)
    return working


def allowed(model: Small, working: WorkingSize, now_s: float = 0.0) -> int:
    return working.allowed(model.input.row_bytes(PixelEncoding.I420), now_s)


def test_every_size_is_run_once() -> None:
    model = Small()
    assert allowed(model, warmed(model)) == 24
    assert model.runs == list(SIZES)


@pytest.mark.parametrize(("fits", "size"), [(20, 12), (16, 12), (15, 8), (5, 4), (1, 1)])
def test_sizes_that_do_not_fit_are_left_out_and_remembered(fits: int, size: int) -> None:
    model = Small(fits)
    working = warmed(model)
    assert allowed(model, working) == size <= fits
    assert allowed(model, working, 100 * FIRST_WAIT_S) == min(24, 2 * size)


def test_a_device_without_room_for_one_image_is_no_device() -> None:
    with pytest.raises(ModelError, match="the warm-up of the model failed: OutOfMemoryError: CUDA out of memory"):
        warmed(Small(0))


def test_a_lost_device_and_any_other_failure_end_the_start() -> None:
    with pytest.raises(DeviceLost):
        warmed(Small(error=RuntimeError("CUDA error: unspecified launch failure")))
    with pytest.raises(ModelError, match="ZeroDivisionError: no"):
        warmed(Small(error=ZeroDivisionError("no")))


def test_it_runs_in_the_thread_that_runs_the_model_later() -> None:
    model = Small()
    device = warm_device(model, InferSettings(max_batch_size=4), Stop())
    images = np.zeros((3, model.input.row_bytes(PixelEncoding.I420)), np.uint8)
    device.start(lambda: print(model.run(images))).result(5)
    assert model.runs == [1, 2, 4, 3]
    assert model.threads == {"device"} != {threading.current_thread().name}


def test_what_the_warm_up_raises_reaches_the_main_thread() -> None:
    with pytest.raises(DeviceLost):
        warm_device(Small(error=RuntimeError("CUDA error: unknown error")), InferSettings(), Stop())


def test_jobs_of_a_device_follow_each_other_in_one_thread() -> None:
    device, seen = Device(Small(), 4), list[tuple[int, int]]()

    def job(number: int) -> None:
        seen.append((number, threading.get_ident()))
        if number == 1:
            raise ZeroDivisionError

    jobs = [device.start(lambda number=number: job(number)) for number in range(3)]  # type: ignore[misc]
    jobs[2].result(5)
    assert [number for number, _ in seen] == [0, 1, 2] and len({thread for _, thread in seen}) == 1
    assert isinstance(jobs[1].exception(), ZeroDivisionError)
