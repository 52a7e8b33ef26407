"""The stage as another thread sees it: what it takes there happens on its event loop a moment later."""

import asyncio
from typing import Protocol

from schemas.coordinates import Coordinates
from streams.stage.frame_stage import FrameStage
from streams.stage.frames import PendingFrame


class Inputs(Protocol):
    """What the retry consumer hands on. `FrameStage` says what each call does."""

    @property
    def is_open(self) -> bool: ...

    def take(self, pending: PendingFrame) -> None: ...

    def take_deferred(self, pending: PendingFrame) -> None: ...

    def defer_again(self, origin: Coordinates) -> None: ...


class StageInputs:
    """`Inputs` of a stage that runs on `loop`. For any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, stage: FrameStage) -> None:
        self._loop, self._stage = loop, stage

    @property
    def is_open(self) -> bool:
        return self._stage.gate.is_open

    def take(self, pending: PendingFrame) -> None:
        self._loop.call_soon_threadsafe(self._stage.take, pending)

    def take_deferred(self, pending: PendingFrame) -> None:
        self._loop.call_soon_threadsafe(self._stage.take_deferred, pending)

    def defer_again(self, origin: Coordinates) -> None:
        self._loop.call_soon_threadsafe(self._stage.defer_again, origin)
