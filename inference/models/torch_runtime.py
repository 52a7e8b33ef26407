"""Torch: CUDA in bfloat16 for GPUs; eager or compiled on the CPU, as the fallback and for comparison."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from inference.models.base import UNCALIBRATED, Described, Output, Pixels, RawEncoding, encoding_of
from inference.models.classifier import Classifier
from inference.models.cpus import usable_cpus
from inference.models.networks import NetworkLoader
from infra.settings import InferSettings
from schemas.errors import ModelError

Outputs = tuple[Tensor, Tensor, Tensor]


def load_cuda(source: NetworkLoader, settings: InferSettings) -> "TorchModel":
    if not torch.cuda.is_available():
        raise ModelError("the runtime cuda needs an NVIDIA device that torch can use, and there is none")
    torch.backends.cudnn.benchmark = True  # batches are padded to few sizes, and `warm` tunes each once
    return TorchModel(source, settings, torch.device("cuda"), torch.bfloat16, "cuda bf16", padded=True)


def load_cpu(source: NetworkLoader, settings: InferSettings) -> "TorchModel":
    return TorchModel(source, settings, _cpu(settings), torch.float32, "torch f32")


def load_compiled(source: NetworkLoader, settings: InferSettings) -> "TorchModel":
    """The first run of each batch size compiles for it, minutes in `warm`: so sizes are padded to powers of two."""
    model = TorchModel(source, settings, _cpu(settings), torch.float32, "torch.compile f32", padded=True)
    model.transform = torch.compile(dynamic=False)
    return model


def _cpu(settings: InferSettings) -> torch.device:
    torch.set_num_threads(settings.threads or usable_cpus())
    return torch.device("cpu")


def _blocking_event() -> torch.cuda.Event:
    """An event whose waiter sleeps; the usual kind spins on a core that decoding needs."""
    return torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]


def bucket(count: int) -> int:
    """The power of two that a batch of `count` images is padded to."""
    return 1 << (count - 1).bit_length()


class TorchModel(Described):
    """One module per pixel encoding, made when first needed. A run returns once its results are in host memory."""

    def __init__(
        self,
        source: NetworkLoader,
        settings: InferSettings,
        device: torch.device,
        dtype: torch.dtype,
        runtime: str,
        *,
        padded: bool = False,
    ) -> None:
        super().__init__(source.describe())
        self.runtime = runtime
        self.transform: Callable[[nn.Module], Callable[[Tensor], Outputs]] = lambda module: module
        self._top_k, self._device, self._dtype, self._padded = settings.top_k, device, dtype, padded
        network = source.network()
        network.backbone.to(device, dtype).to(memory_format=torch.channels_last)
        network.head.to(device)  # stays float32: bfloat16 logits differ by 0.03 between neighbours
        self._network = network
        self._modules: dict[RawEncoding, Callable[[Tensor], Outputs]] = {}
        self._staging: dict[RawEncoding, Tensor] = {}
        self._finished = _blocking_event() if device.type == "cuda" else None

    def warm(self, batch_sizes: tuple[int, ...]) -> None:
        """Run every size that a batch of at most the largest size can be padded to."""
        largest = max(batch_sizes)
        sizes = {1 << power for power in range(bucket(largest).bit_length())} if self._padded else set(batch_sizes)
        super().warm(tuple(sorted(sizes)))

    def run(self, pixels: Pixels) -> Output:
        encoding = encoding_of(pixels, self.input)
        count = len(pixels)
        try:
            with torch.inference_mode():
                staged = self._stage(pixels, encoding, bucket(count) if self._padded else count)
                results = self._module(encoding)(staged)
                index, probability, embedding = self._fetch(results, count)
        except RuntimeError as error:  # OutOfMemoryError is one
            raise ModelError(f"{self.ref.name}: {self.runtime} failed on a batch of {count}: {error}") from error
        return Output(index.numpy(), probability.numpy(), embedding.numpy())

    def _module(self, encoding: RawEncoding) -> Callable[[Tensor], Outputs]:
        if encoding not in self._modules:
            module = Classifier(self._network, self.input, encoding, self._top_k, UNCALIBRATED, self._dtype)
            self._modules[encoding] = self.transform(module)
        return self._modules[encoding]

    def _stage(self, pixels: Pixels, encoding: RawEncoding, size: int) -> Tensor:
        """The batch on the device, copied as bytes through pinned memory; padding is what the buffer held before.

        The next run uses the buffer again: a run ends after its results are fetched, and so after its copy.
        """
        if self._finished is None and size == len(pixels):
            return torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
        buffer = self._staging.get(encoding)
        if buffer is None or len(buffer) < size:
            pinned = self._finished is not None
            buffer = torch.zeros((size, pixels.shape[1]), dtype=torch.uint8, pin_memory=pinned)
            self._staging[encoding] = buffer
        buffer.numpy()[: len(pixels)] = pixels
        return buffer[:size].to(self._device, non_blocking=True)

    def _fetch(self, results: Outputs, count: int) -> tuple[Tensor, ...]:
        if self._finished is None:
            return tuple(result[:count].clone() for result in results)
        fetched = []
        for result in results:
            host = torch.empty((count, result.shape[1]), dtype=result.dtype, pin_memory=True)
            fetched.append(host.copy_(result[:count], non_blocking=True))
        self._finished.record()
        self._finished.synchronize()
        return tuple(fetched)
