"""Models that fail on purpose: `sightline infer --model tests.support.models:Failing`.

The second byte of an image says what the model does with it, so that a test decides for each frame.
"""

import threading
import time
from dataclasses import replace
from typing import ClassVar

from inference.models import InputSpec, ModelInfo, Output, Pixels
from inference.models.null import INFO, NullModel
from infra.settings import InferSettings
from schemas.errors import ModelError

FINE, ALWAYS, SOMETIMES, TOO_LARGE, HANGS, SLOW = range(6)
SLOW_S = 0.1


class OutOfMemoryError(RuntimeError):
    """Has the name of torch's error, by which a lack of memory is recognised."""


class Failing(NullModel):
    """ALWAYS fails every run, SOMETIMES the first two, TOO_LARGE any run with another image in it; HANGS; SLOW."""

    info: ClassVar[ModelInfo] = INFO  # type: ignore[misc]

    def __init__(self, settings: InferSettings) -> None:
        super().__init__(settings.top_k)
        self._failures_left = 2

    def run(self, pixels: Pixels) -> Output:
        marks = pixels[:, 1]
        if (marks == HANGS).any():
            threading.Event().wait()
        if (marks == SLOW).any():
            time.sleep(SLOW_S)
        if (marks == TOO_LARGE).any() and len(pixels) > 1:
            raise OutOfMemoryError("out of memory, on purpose")
        if (marks == ALWAYS).any():
            raise ModelError("failed on purpose")
        if (marks == SOMETIMES).any() and self._failures_left:
            self._failures_left -= 1
            raise ValueError("failed on purpose, for a while")
        return super().run(pixels)


class Odd(NullModel):
    """Takes an input with odd sides that is not square."""

    info: ClassVar[ModelInfo] = replace(INFO, input=InputSpec(width=225, height=299, resize=331))  # type: ignore[misc]

    def __init__(self, settings: InferSettings) -> None:
        super().__init__(settings.top_k, self.info)


def marked(row: bytes, mark: int) -> bytes:
    return row[:1] + bytes([mark]) + row[2:]
