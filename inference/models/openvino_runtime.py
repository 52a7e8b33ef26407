"""OpenVINO on the CPU: one stream of one thread per core, and each batch split into small pieces for the streams.

Measured on two shared cores (docs/performance.md): threads that share one image spin at every layer until the others
are done, and need 1.1 to 1.6 times the CPU time of threads that each have their own images. Small pieces keep all
streams busy in small batches, and leave few sizes to warm. bfloat16 on AMX takes half the time of float32 and changes
no more labels than the rounding to I420 does.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from inference.models.base import Described, ModelInfo, Output, Pixels, RawEncoding, encoding_of
from inference.models.cpus import usable_cpus
from inference.models.openvino_ir import MODEL_FILE, ir_folder
from infra.settings import InferSettings
from schemas.errors import ModelError
from schemas.records import PixelEncoding

DEVICE = "CPU"
MAX_PIECE = 4


def load_openvino(name: str, info: ModelInfo, settings: InferSettings) -> "OpenVinoModel":
    core = openvino.Core()
    capable = "BF16" in core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
    precision = settings.precision if settings.precision != "auto" else "bf16" if capable else "f32"
    streams = settings.threads or usable_cpus()
    model = OpenVinoModel(
        info, core, streams, precision, lambda encoding: ir_folder(name, info, encoding, settings.top_k)
    )
    model.requests(PixelEncoding.I420)
    return model


def pieces(count: int, streams: int) -> list[tuple[int, int]]:
    """(start, end) of each piece of a batch: at most MAX_PIECE images, and few enough to keep every stream busy."""
    size = min(MAX_PIECE, -(-count // streams))
    return [(start, min(start + size, count)) for start in range(0, count, size)]


class OpenVinoModel(Described):
    """The network for I420 is converted and compiled at the start, the one for RGB24 when its first batch comes."""

    def __init__(
        self, info: ModelInfo, core: Any, streams: int, precision: str, folder_of: Callable[[RawEncoding], Path]
    ) -> None:
        super().__init__(info)
        self.runtime = f"openvino {precision}, {streams} streams of one thread"
        self._core, self._folder_of, self._streams, self._precision = core, folder_of, streams, precision
        self._requests: dict[RawEncoding, list[Any]] = {}

    def requests(self, encoding: RawEncoding) -> list[Any]:
        """One inference request per stream."""
        if encoding not in self._requests:
            settings = {
                "PERFORMANCE_HINT": "THROUGHPUT",
                "NUM_STREAMS": self._streams,
                "INFERENCE_NUM_THREADS": self._streams,
                "INFERENCE_PRECISION_HINT": self._precision,
                # decode processes and other workers share these cores: the kernel shall place the threads
                "ENABLE_CPU_PINNING": False,
            }
            try:
                compiled = self._core.compile_model(self._folder_of(encoding) / MODEL_FILE, DEVICE, settings)
                self._requests[encoding] = [compiled.create_infer_request() for _ in range(self._streams)]
            except RuntimeError as error:
                raise ModelError(f"{self.ref.name}: OpenVINO cannot compile the model: {_first_line(error)}") from error
        return self._requests[encoding]

    def warm(self, batch_sizes: tuple[int, ...]) -> None:
        """Run every piece size on every stream: the first run of a size takes a stream a tenth of a second."""
        largest = max(len(range(*piece)) for size in batch_sizes for piece in pieces(size, self._streams))
        row_bytes = self.input.row_bytes(self.input.encoding)
        for size in range(1, largest + 1):
            image = np.zeros((size * self._streams, row_bytes), np.uint8)
            self._run(image, [(start, start + size) for start in range(0, len(image), size)])

    def run(self, pixels: Pixels) -> Output:
        encoding_of(pixels, self.input)
        return self._run(pixels, pieces(len(pixels), self._streams))

    def _run(self, pixels: Pixels, parts: list[tuple[int, int]]) -> Output:
        idle = list(self.requests(encoding_of(pixels, self.input)))
        running: deque[tuple[Any, int]] = deque()
        done: dict[int, list[Any]] = {}
        try:
            for start, end in parts:
                if not idle:
                    idle.append(_finish(running, done))
                request = idle.pop()
                request.start_async([pixels[start:end]], share_inputs=True)
                running.append((request, start))
            while running:
                _finish(running, done)
        except (RuntimeError, MemoryError) as error:
            for request, _ in running:  # they may still read `pixels`
                with suppress(RuntimeError, MemoryError):
                    request.wait()
            raise ModelError(f"{self.ref.name}: OpenVINO failed on a batch: {_first_line(error)}") from error
        index, probability, embedding = (
            np.concatenate(column) for column in zip(*(done[start] for start, _ in parts), strict=True)
        )
        return Output(index, probability, embedding)


def _finish(running: deque[tuple[Any, int]], done: dict[int, list[Any]]) -> Any:
    """Wait for the oldest request, take its outputs, and return it: it is idle now."""
    request, start = running[0]
    request.wait()
    done[start] = [tensor.data.copy() for tensor in request.output_tensors]
    running.popleft()
    return request


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
