"""Custom models: `infer.model = "package.module:Factory"`, where Python can import `package.module`.

`Factory` is a class or another callable that takes the section `infer` of the settings and returns a `Model`. Its
attribute `info` is the ModelInfo, for the stages that need to know the model without loading it.
"""

import importlib
from typing import Protocol, cast

from inference.models.base import Model, ModelInfo
from infra.settings import InferSettings
from schemas.errors import ConfigError, ModelError, SightlineError


class Factory(Protocol):
    @property
    def info(self) -> ModelInfo: ...

    def __call__(self, settings: InferSettings, /) -> Model: ...


def is_custom(spec: str) -> bool:
    return ":" in spec


def load_custom(spec: str, settings: InferSettings) -> Model:
    """Raises ConfigError when there is no such factory, ModelError when it fails."""
    factory = _factory(spec)
    try:
        return factory(settings)
    except SightlineError:
        raise
    except Exception as error:
        raise ModelError(f"{spec}: {type(error).__name__}: {error}") from error


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
    return cast(Factory, found)
