"""Simulated cameras in real time: a frame that would come too late is left out, as a camera does it."""

import math

from ingest.sources.parse import parse_sim
from ingest.sources.readers.base import CapturedImage, Pace
from ingest.sources.render import render
from ingest.sources.task import CaptureTask


class SimulatedCamera:
    """Frame n shows the tour at n / fps seconds, whenever it is drawn."""

    paced = True
    live = True
    skipped = 0
    damaged = 0
    replaced = 0
    jumps = 0

    def __init__(self, task: CaptureTask) -> None:
        self._spec, self._fps = parse_sim(task.address), task.fps
        self.expected_per_s = task.fps
        self.patience_s = task.read_timeout_ms / 1000
        self._tick = -1
        self._pace = Pace(shifts=False)

    def grab(self) -> float | None:
        self._tick += 1
        late_s = self._pace.wait_until(self._tick / self._fps)
        self._tick += math.floor(late_s * self._fps)
        return self._tick / self._fps

    def retrieve(self) -> CapturedImage | None:
        return CapturedImage(pixels=render(self._spec, self._tick / self._fps))
