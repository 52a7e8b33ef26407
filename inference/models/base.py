"""What every model is to the rest of Sightline: an input, a reference, classes, and `run`. Imports no torch."""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from schemas.errors import ModelError
from schemas.records import ModelRef, PixelEncoding

Pixels: TypeAlias = npt.NDArray[np.uint8]
RawEncoding: TypeAlias = Literal[PixelEncoding.I420, PixelEncoding.RGB24]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """Upright RGB, shorter side scaled to `resize`, centre cut to `width` x `height`.

    `encoding` is what the model likes best to be sent.
    """

    width: int
    height: int
    resize: int
    encoding: PixelEncoding = PixelEncoding.I420

    def row_bytes(self, encoding: PixelEncoding) -> int:
        """Bytes of one image as a row of `Model.run`; JPEG has no fixed size and is decoded before it gets there."""
        area = self.width * self.height
        if encoding is PixelEncoding.I420:
            return area * 3 // 2
        if encoding is PixelEncoding.RGB24:
            return area * 3
        raise ValueError(f"{encoding} has no fixed size")


@dataclass(frozen=True, slots=True)
class Calibration:
    """Logits are divided by `temperature` before softmax; the order of classes never changes."""

    name: str = "none"
    temperature: float = 1.0


UNCALIBRATED = Calibration()


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """All that is known of a model without loading it: enough for the stream stage and for cache keys.

    `classes` are (class_id, name) in the order of `Output.class_index`.
    """

    ref: ModelRef
    input: InputSpec
    classes: tuple[tuple[str, str], ...]
    embedding_size: int = 0


@dataclass(frozen=True, slots=True)
class Output:
    """Best k classes per image, best first. The arrays belong to the caller and stay as they are."""

    class_index: npt.NDArray[np.int32]
    probability: npt.NDArray[np.float32]
    embedding: npt.NDArray[np.float16] | None = None


class Model(Protocol):
    """A loaded model; used by one thread at a time, which need not be the one that loaded it."""

    @property
    def info(self) -> ModelInfo: ...

    @property
    def ref(self) -> ModelRef: ...

    @property
    def input(self) -> InputSpec: ...

    @property
    def classes(self) -> tuple[tuple[str, str], ...]: ...

    @property
    def runtime(self) -> str:
        """What it runs on, for logs and reports, such as `openvino bf16, 2 threads`."""
        ...

    def warm(self, batch_sizes: tuple[int, ...]) -> None:
        """Run each size once, so that no later `run` up to the largest pays for compilation or allocation."""
        ...

    def run(self, pixels: Pixels) -> Output:
        """uint8 [N, bytes of one image], I420 or RGB24 by the row's length. Blocks, without spinning.

        ModelError if it fails; the model can be used again after that.
        """
        ...


class Described:
    """The part of `Model` that only repeats its ModelInfo."""

    def __init__(self, info: ModelInfo) -> None:
        self.info = info

    @property
    def ref(self) -> ModelRef:
        return self.info.ref

    @property
    def input(self) -> InputSpec:
        return self.info.input

    @property
    def classes(self) -> tuple[tuple[str, str], ...]:
        return self.info.classes

    def run(self, pixels: Pixels) -> Output:
        raise NotImplementedError

    def warm(self, batch_sizes: tuple[int, ...]) -> None:
        for size in batch_sizes:
            self.run(np.zeros((size, self.input.row_bytes(self.input.encoding)), np.uint8))


def encoding_of(pixels: Pixels, spec: InputSpec) -> RawEncoding:
    """I420 or RGB24, by the length of a row; ModelError for pixels of any other shape."""
    if pixels.dtype == np.uint8 and pixels.ndim == 2 and len(pixels) > 0:
        for encoding in (PixelEncoding.I420, PixelEncoding.RGB24):
            if pixels.shape[1] == spec.row_bytes(encoding):
                return encoding
    raise ModelError(
        f"the model takes {spec.width}x{spec.height} images as I420 or RGB24, one per row of bytes, "
        f"and was given {pixels.dtype} {list(pixels.shape)}"
    )
