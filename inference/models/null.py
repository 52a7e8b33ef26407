"""A model that does no work, to measure the pipeline around it and for tests: no torch, no threads, no time."""

import numpy as np

from inference.models.base import UNCALIBRATED, Described, InputSpec, ModelInfo, Output, Pixels, encoding_of
from schemas.records import ModelRef

CLASS_COUNT = 10
BEST_PROBABILITY = 0.9
INFO = ModelInfo(
    ref=ModelRef("null", "1", UNCALIBRATED.name),
    input=InputSpec(width=224, height=224, resize=256),
    classes=tuple((str(index), f"null {index}") for index in range(CLASS_COUNT)),
)


class NullModel(Described):
    """The class is the first byte of the image modulo 10, so that a test can tell images apart. No embedding."""

    runtime = "null"

    def __init__(self, top_k: int, info: ModelInfo = INFO) -> None:
        super().__init__(info)
        self._ranks = np.arange(min(top_k, CLASS_COUNT), dtype=np.int32)
        self._probabilities = BEST_PROBABILITY * np.float32(0.1) ** self._ranks.astype(np.float32)

    def run(self, pixels: Pixels) -> Output:
        encoding_of(pixels, self.input)
        best = pixels[:, :1].astype(np.int32)
        return Output((best + self._ranks) % CLASS_COUNT, np.tile(self._probabilities, (len(pixels), 1)))
