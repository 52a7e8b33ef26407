"""Models by their spec, and the runtimes that run them: `base` is the interface, `registry` the table of specs.

Importing this package loads neither torch nor OpenVINO. May import: infra, schemas.
"""

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
