"""The interface of a model to the rest of Sightline: its input, reference, classes, and `run`. Imports no torch."""

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
    """An upright RGB image, its shorter side scaled to `resize`, the centre cut to `width` x `height`.

    `encoding` is the format that the model takes with the least work.
    """

    width: int
    height: int
    resize: int
    encoding: PixelEncoding = PixelEncoding.I420

    def row_bytes(self, encoding: PixelEncoding) -> int:
        """The bytes of one row of `Model.run`. ValueError for JPEG, which has no fixed size and is decoded before."""
        return encoding.image_bytes(self.width, self.height)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Logits are divided by `temperature` before softmax, which never changes the order of the classes."""

    name: str = "none"
    temperature: float = 1.0


UNCALIBRATED = Calibration()


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The facts about a model that need no loading: enough for the stream stage and for cache keys.

    `classes` are (class_id, name) in the order of `Output.class_index`.
    """

    ref: ModelRef
    input: InputSpec
    classes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Output:
    """The best k classes of each image, best first. The arrays belong to the caller; the model never changes them."""

    class_index: npt.NDArray[np.int32]
    probability: npt.NDArray[np.float32]
    embedding: npt.NDArray[np.float16] | None = None


class Model(Protocol):
    """A loaded model. One thread calls `warm` and then `run`; it may be another than the one that loaded the model."""

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
        """The runtime in words, for logs and reports, such as `openvino bf16, 2 streams of one thread`."""
        ...

    def warm(self, batch_sizes: tuple[int, ...]) -> None:
        """Run each size once, so that no later `run` has to compile or allocate for it."""
        ...

    def run(self, pixels: Pixels) -> Output:
        """Takes uint8 [N, bytes of one image]; the length of a row tells I420 from RGB24. Blocks without spinning.

        Raises ModelError when it fails; the model can be used again afterwards. A lack of memory and a lost device are
        known by the exception that it was raised from (`device/failures.py`).
        """
        ...


class Described:
    """The properties of `Model` that come from its ModelInfo."""

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
    """I420 or RGB24, by the length of a row. Raises ModelError for pixels of any other shape."""
    if pixels.dtype == np.uint8 and pixels.ndim == 2 and len(pixels) > 0:
        for encoding in (PixelEncoding.I420, PixelEncoding.RGB24):
            if pixels.shape[1] == spec.row_bytes(encoding):
                return encoding
    raise ModelError(
        f"the model takes {spec.width}x{spec.height} images as I420 or RGB24, one per row of bytes, "
        f"and was given {pixels.dtype} {list(pixels.shape)}"
    )
