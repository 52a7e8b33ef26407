"""Every model that `infer.model` can name, and the runtimes that it can run on."""

import ctypes
import importlib.util
from collections.abc import Callable

from inference.models import null
from inference.models.base import Model, ModelInfo
from inference.models.custom import describe_custom, is_custom, load_custom
from inference.models.networks import NETWORKS
from infra.settings import InferSettings
from schemas.errors import ConfigError

NULL = null.INFO.ref.name


def load_model(spec: str, settings: InferSettings) -> Model:
    """The model of `NAME`, `NAME@RUNTIME` or `module:Factory`, not warm yet.

    Raises ConfigError for an unknown spec, ModelError when the model cannot be loaded.
    """
    if is_custom(spec):
        return load_custom(spec, settings)
    name, runtime = _parse(spec)
    if name == NULL:
        return null.NullModel(settings.top_k)
    return RUNTIMES[runtime or _best_runtime()](name, settings)


def describe_model(spec: str) -> ModelInfo:
    """The `info` of the model that `load_model(spec, ...)` returns, without loading it."""
    if is_custom(spec):
        return describe_custom(spec)
    name, _ = _parse(spec)
    return null.INFO if name == NULL else NETWORKS[name].describe()


def known_specs() -> list[str]:
    return [NULL, *NETWORKS, *(f"{name}@{runtime}" for name in NETWORKS for runtime in RUNTIMES)]


def _parse(spec: str) -> tuple[str, str]:
    if spec not in known_specs():
        raise ConfigError(
            f"infer.model: there is no model {spec!r}; known are {', '.join(known_specs())} and package.module:Factory"
        )
    name, _, runtime = spec.partition("@")
    return name, runtime


def _best_runtime() -> str:
    if _nvidia_device():
        import torch

        if torch.cuda.is_available():
            return "cuda"
    return "openvino" if importlib.util.find_spec("openvino") else "torch"


def _nvidia_device() -> bool:
    """Asks the driver directly: to import torch for this takes seconds, and 400 MB that OpenVINO does not need."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        count = ctypes.c_int(0)
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):
        return False


def _cuda(name: str, settings: InferSettings) -> Model:
    from inference.models.torch_runtime import load_cuda

    return load_cuda(NETWORKS[name], settings)


def _openvino(name: str, settings: InferSettings) -> Model:
    from inference.models.openvino_runtime import load_openvino

    return load_openvino(name, NETWORKS[name].describe(), settings)


def _torch(name: str, settings: InferSettings) -> Model:
    from inference.models.torch_runtime import load_cpu

    return load_cpu(NETWORKS[name], settings)


def _compile(name: str, settings: InferSettings) -> Model:
    from inference.models.torch_runtime import load_compiled

    return load_compiled(NETWORKS[name], settings)


RUNTIMES: dict[str, Callable[[str, InferSettings], Model]] = {
    "cuda": _cuda,
    "openvino": _openvino,
    "torch": _torch,
    "compile": _compile,
}
