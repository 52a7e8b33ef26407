"""`python -m tests.gpu.lost_device`: a model that breaks its device, with an assertion in a kernel as a bug would.

It goes the worker's own way: the warm-up in the device's thread, a run that is split and retried, and the end.
"""

import os
import sys
import time

import numpy as np

from inference.device.failures import DeviceLost
from inference.device.scoring import RetryLimit, score
from inference.models import Output, Pixels
from inference.models.null import NullModel
from inference.worker.command import warm_device
from infra.process.lifecycle import Stop, print_end
from infra.settings import InferSettings
from schemas.errors import ModelError
from schemas.records import PixelEncoding

CALLS = "calls of the model after the device was lost"


class Breaking(NullModel):
    """The first image of a run is an index into a table of 256 entries; 255 is made one outside of it."""

    def __init__(self) -> None:
        import torch

        super().__init__(1)
        self._torch = torch
        self._table = torch.arange(256, device="cuda")
        self.calls = 0

    def run(self, pixels: Pixels) -> Output:
        self.calls += 1
        index = self._torch.tensor([int(pixels[0, 0]) if pixels[0, 0] < 255 else 10_000], device="cuda")
        try:
            self._table[index].cpu()
        except RuntimeError as error:
            raise ModelError("the kernel failed") from error
        return super().run(pixels)


def main() -> None:
    model, stop = Breaking(), Stop()
    device = warm_device(model, InferSettings(max_batch_size=4), stop)
    images = np.full((4, model.input.row_bytes(PixelEncoding.I420)), 255, np.uint8)
    limit = RetryLimit(5.0, stop.wait, time.monotonic)
    calls = model.calls
    try:
        device.start(lambda: print(score(model.run, images, limit, device.working))).result(60)
    except DeviceLost as lost:
        print(f"{CALLS}: {model.calls - calls - 1}", flush=True)
        os._exit(print_end(lost))
    sys.exit("the device was not lost")


if __name__ == "__main__":
    main()
