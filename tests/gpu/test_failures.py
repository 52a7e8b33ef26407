"""Memory that is really short, and a device that is really lost."""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from inference.device.device import Device
from inference.device.scoring import RetryLimit, score
from inference.device.warm_up import warm_up
from inference.device.working_size import WorkingSize
from inference.models import Model, Pixels, load_model
from inference.worker.command import warm_sizes
from infra.settings import InferSettings
from schemas.records import PixelEncoding
from tests.gpu import lost_device
from tests.gpu.conftest import Figures
from tests.support.photos import prepared

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("default")]

LARGEST = 512


@dataclass
class Clock:
    now_s: float = 0.0

    def limit(self) -> RetryLimit:
        return RetryLimit(5.0, lambda seconds: False, lambda: self.now_s)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("efficientnet-lite0@cuda", InferSettings(max_batch_size=LARGEST))


@pytest.fixture
def too_little(model: Model) -> Iterator[int]:
    """The allocator gives torch less than the largest run needs, and more than a run of 64 does."""
    import torch

    def reserved(count: int) -> int:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        model.run(images(count))
        return torch.cuda.max_memory_reserved()

    limit = (reserved(64) + reserved(LARGEST)) // 2
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(limit / torch.cuda.mem_get_info()[1])
    yield limit
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def images(count: int) -> Pixels:
    photos = prepared()
    return photos[np.arange(count) % len(photos)]


def test_a_run_that_does_not_fit_is_split_and_remembered(model: Model, too_little: int, figures: Figures) -> None:
    import torch

    sizes, clock = WorkingSize(LARGEST), Clock()
    pixels = images(LARGEST)
    scored = score(model.run, pixels, clock.limit(), sizes)
    assert all(piece.output is not None for piece in scored)
    assert sum(piece.count for piece in scored) == LARGEST
    shape = pixels.shape[1]
    fits = sizes.allowed(shape, clock.now_s)
    assert 64 <= fits < LARGEST
    # What failed left nothing behind: a second run has the same room, and fails nowhere.
    assert [piece.count for piece in score(model.run, pixels, clock.limit(), sizes)] == [fits] * (LARGEST // fits)
    torch.cuda.set_per_process_memory_fraction(1.0)
    clock.now_s = 1e6
    while sizes.allowed(shape, clock.now_s) > fits:
        fits = sizes.allowed(shape, clock.now_s)
        score(model.run, pixels, clock.limit(), sizes)
        clock.now_s += 1e6
    assert fits == LARGEST
    figures["out_of_memory"] = {"limit_mib": too_little >> 20, "images_that_fit": scored[0].count}


def test_a_warm_up_that_does_not_fit_goes_on_with_less(model: Model, too_little: int) -> None:
    working = WorkingSize(LARGEST)
    warm_up(model, warm_sizes(LARGEST), working, lambda: 0.0)
    assert 64 <= working.allowed(model.input.row_bytes(PixelEncoding.I420), 0.0) < LARGEST


def test_the_first_run_after_the_warm_up_is_as_fast_as_any_in_that_thread(figures: Figures) -> None:
    """cuDNN tunes and allocates per thread: in another one the first run does both again."""
    device = Device(load_model("efficientnet-lite0@cuda", InferSettings(max_batch_size=32)), 32)
    pixels, took_ms = images(32), dict[str, list[float]]()

    def timed(name: str) -> None:
        for _ in range(20):
            started_s = time.perf_counter()
            device.model.run(pixels)
            took_ms.setdefault(name, []).append((time.perf_counter() - started_s) * 1000)

    device.start(lambda: warm_up(device.model, warm_sizes(32), device.working, time.monotonic)).result(120)
    device.start(lambda: timed("same")).result(60)
    timed("another")
    medians = {name: float(np.median(each)) for name, each in took_ms.items()}
    figures["first_run_after_warm_up_ms"] = {
        name: {"first": round(each[0], 2), "median": round(medians[name], 2)} for name, each in took_ms.items()
    }
    assert took_ms["same"][0] < 3 * medians["same"] + 5


def test_a_lost_device_ends_the_process_with_a_sentence(figures: Figures) -> None:
    started_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", lost_device.__name__], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1, done.stderr
    assert f"{lost_device.CALLS}: 0" in done.stdout
    assert "sightline: the device is lost to this process" in done.stderr
    assert "device-side assert" in done.stderr and "Traceback" not in done.stderr
    figures["lost_device_s"] = round(time.monotonic() - started_s, 1)
