"""Models that fail on purpose: `sightline infer --model tests.support.models:Failing`.

The second byte of an image says what the model does with it, so that a test decides for each frame.
"""

import threading
import time
from dataclasses import replace
from typing import ClassVar, NoReturn

from inference.models import InputSpec, ModelInfo, Output, Pixels
from inference.models.null import CLASS_COUNT, INFO, NullModel
from infra.settings import InferSettings
from schemas.errors import ModelError

FINE, ALWAYS, SOMETIMES, TOO_LARGE, HANGS, SLOW, LOST = range(7)
SLOW_S = 0.1


class OutOfMemoryError(RuntimeError):
    """Has the name of torch's error, by which a lack of memory is recognised."""


class Failing(NullModel):
    """ALWAYS fails every run, SOMETIMES the first two, TOO_LARGE any run with another image in it; HANGS; SLOW; LOST.

    LOST breaks the device: this run and every later one fail as CUDA's do after an assertion in a kernel.
    """

    info: ClassVar[ModelInfo] = INFO  # type: ignore[misc]

    def __init__(self, settings: InferSettings) -> None:
        super().__init__(settings.top_k)
        self._failures_left = 2
        self._is_lost = False
        self._warmed_by = 0

    def warm(self, batch_sizes: tuple[int, ...]) -> None:
        self._warmed_by = threading.get_ident()
        super().warm(batch_sizes)

    def run(self, pixels: Pixels) -> Output:
        assert threading.get_ident() == self._warmed_by, "another thread than that of the warm-up"
        marks = pixels[:, 1]
        self._is_lost |= bool((marks == LOST).any())
        if self._is_lost:
            wrap(RuntimeError("CUDA error: device-side assert triggered\nFor debugging consider a flag"))
        if (marks == HANGS).any():
            threading.Event().wait()
        if (marks == SLOW).any():
            time.sleep(SLOW_S)
        if (marks == TOO_LARGE).any() and len(pixels) > 1:
            wrap(OutOfMemoryError("CUDA out of memory, on purpose"))
        if (marks == ALWAYS).any():
            raise ModelError("failed on purpose")
        if (marks == SOMETIMES).any() and self._failures_left:
            self._failures_left -= 1
            raise ValueError("failed on purpose, for a while")
        return super().run(pixels)


def wrap(error: Exception) -> NoReturn:
    """Raise it as a runtime does."""
    try:
        raise error
    except RuntimeError as caught:
        raise ModelError("the batch failed") from caught


class Odd(NullModel):
    """Takes an input with odd sides that is not square."""

    info: ClassVar[ModelInfo] = replace(INFO, input=InputSpec(width=225, height=299, resize=331))  # type: ignore[misc]

    def __init__(self, settings: InferSettings) -> None:
        super().__init__(settings.top_k, self.info)


class Shifted(NullModel):
    """Answers the class behind that of the null model, so that every answer is another one."""

    info: ClassVar[ModelInfo] = replace(INFO, ref=replace(INFO.ref, name="shifted"))  # type: ignore[misc]

    def __init__(self, settings: InferSettings) -> None:
        super().__init__(settings.top_k, self.info)

    def run(self, pixels: Pixels) -> Output:
        found = super().run(pixels)
        return replace(found, class_index=(found.class_index + 1) % CLASS_COUNT)


def marked(row: bytes, mark: int) -> bytes:
    return row[:1] + bytes([mark]) + row[2:]
