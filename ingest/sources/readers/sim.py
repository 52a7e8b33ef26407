"""Simulated cameras in real time: a tick that comes too late is left out, as a camera would."""

import math

from ingest.capture.wire import Task
from ingest.sources.parse import parse_sim
from ingest.sources.readers.base import Pace, Picture
from ingest.sources.render import render


class SimulatedCamera:
    """Picture n shows the tour at n / fps seconds, whenever it is painted."""

    paced = True
    skipped = 0
    damaged = 0

    def __init__(self, task: Task) -> None:
        self._spec, self._fps = parse_sim(task.address), task.fps
        self.expected_per_s = task.fps
        self._tick = -1
        self._pace = Pace(shifts=False)

    def grab(self) -> float | None:
        self._tick += 1
        late_s = self._pace.wait_until(self._tick / self._fps)
        self._tick += math.floor(late_s * self._fps)
        return self._tick / self._fps

    def picture(self) -> Picture | None:
        return Picture(pixels=render(self._spec, self._tick / self._fps))
