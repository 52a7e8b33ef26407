"""Model specs and the runtimes that run them. Importing this loads neither torch nor OpenVINO."""

from inference.models.base import Calibration, InputSpec, Model, ModelInfo, Output, Pixels, encoding_of
from inference.models.registry import describe_model, known_specs, load_model

__all__ = [
    "Calibration",
    "InputSpec",
    "Model",
    "ModelInfo",
    "Output",
    "Pixels",
    "describe_model",
    "encoding_of",
    "known_specs",
    "load_model",
]
