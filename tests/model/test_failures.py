"""Torch's and OpenVINO's own failures, through the runtimes' wrapper, are taken for what they are."""

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import Tensor

from inference.device.failures import FailureKind, RunFailure, attempt, kind_of
from inference.models.efficientnet_lite0 import describe
from inference.models.networks import NETWORKS
from inference.models.openvino_runtime import OpenVinoModel
from inference.models.torch_runtime import TorchModel, load_cpu
from infra.settings import InferSettings
from schemas.records import PixelEncoding

IMAGES = np.zeros((2, 75_264), np.uint8)


@pytest.fixture(scope="module")
def model() -> TorchModel:
    return load_cpu(NETWORKS["efficientnet-lite0"], InferSettings())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), FailureKind.OUT_OF_MEMORY),
        (torch.cuda.OutOfMemoryError("HIP out of memory"), FailureKind.OUT_OF_MEMORY),
        (torch.AcceleratorError("CUDA error: out of memory"), FailureKind.OUT_OF_MEMORY),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), FailureKind.DEVICE_LOST),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), FailureKind.DEVICE_LOST),
        (torch.AcceleratorError("CUDA error: invalid argument"), FailureKind.OTHER),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), FailureKind.OTHER),
    ],
)
def test_an_error_of_torch_is_known_behind_our_wrapper(
    model: TorchModel, error: RuntimeError, kind: FailureKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        raise error

    monkeypatch.setitem(model._modules, PixelEncoding.I420, fail)
    with pytest.raises(Exception, match="failed on a batch of 2") as raised:
        model.run(IMAGES)
    assert kind_of(raised.value) is kind


def test_a_real_lack_of_memory_on_the_cpu_frees_what_the_run_held(
    model: TorchModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[weakref.ref[Tensor]] = []

    def too_large(pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        held = torch.zeros(1_000_000)
        alive.append(weakref.ref(held))
        return held, torch.empty(1 << 60, dtype=torch.uint8), held

    monkeypatch.setitem(model._modules, PixelEncoding.I420, too_large)
    gc.disable()
    try:
        failure = attempt(lambda: model.run(IMAGES))
        assert isinstance(failure, RunFailure) and failure.kind is FailureKind.OUT_OF_MEMORY, failure
        assert alive[0]() is None
    finally:
        gc.enable()
    monkeypatch.undo()
    assert len(model.run(IMAGES).class_index) == 2


class Request:
    """One inference request; its outputs cannot be copied while `full`."""

    def __init__(self, full: bool) -> None:
        self.full, self.waited = full, 0

    def start_async(self, images: object, share_inputs: bool) -> None: ...

    def wait(self) -> None:
        self.waited += 1

    @property
    def output_tensors(self) -> list[object]:
        if self.full:
            raise MemoryError
        return []


def test_openvino_reads_no_pixels_any_more_once_memory_ran_out() -> None:
    """They are overwritten by the next run."""
    model = OpenVinoModel(describe(), None, 2, "f32", lambda encoding: pytest.fail("nothing is converted"))
    requests = [Request(full=False), Request(full=True)]
    model._requests[PixelEncoding.I420] = requests
    failure = attempt(lambda: model.run(IMAGES))
    assert isinstance(failure, RunFailure) and failure.kind is FailureKind.OUT_OF_MEMORY, failure
    assert all(request.waited for request in requests)
