"""Custom models: `infer.model = "package.module:Factory"`, where Python can import `package.module`.

`Factory` is a class or another callable that takes the section `infer` of the settings and returns a `Model`. Its
attribute `info` is the ModelInfo, for the stages that need to know the model without loading it; the model's own must
be equal. What it holds is checked (`check.py`) before anything is opened.
"""

import importlib
from typing import Protocol, cast

from inference.models.base import Model, ModelInfo
from inference.models.check import require_same, require_sound
from infra.settings import InferSettings
from schemas.errors import ConfigError, ModelError, SightlineError


class Factory(Protocol):
    @property
    def info(self) -> ModelInfo: ...

    def __call__(self, settings: InferSettings, /) -> Model: ...


def is_custom(spec: str) -> bool:
    return ":" in spec


def load_custom(spec: str, settings: InferSettings) -> Model:
    """Raises ConfigError when there is no such factory or its `info` cannot be, ModelError when it fails."""
    factory = _factory(spec)
    try:
        model = factory(settings)
    except SightlineError:
        raise
    except Exception as error:
        raise ModelError(f"{spec}: {type(error).__name__}: {error}") from error
    missing = [
        name for name in ("info", "ref", "input", "classes", "runtime", "warm", "run") if not hasattr(model, name)
    ]
    if missing:
        raise ConfigError(f"infer.model: {spec!r} returns no Model: it lacks {', '.join(missing)}")
    require_same(model.info, factory.info, f"infer.model: {spec!r}")
    return model


def describe_custom(spec: str) -> ModelInfo:
    return _factory(spec).info


def _factory(spec: str) -> Factory:
    module_name, _, name = spec.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"infer.model: {spec!r} cannot be imported: {error}") from error
    if not callable(found) or not isinstance(getattr(found, "info", None), ModelInfo):
        raise ConfigError(f"infer.model: {spec!r} must be callable and have `info`, a ModelInfo")
    require_sound(found.info, f"infer.model: {spec!r}")
    return cast(Factory, found)
