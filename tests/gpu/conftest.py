"""Tests on an NVIDIA device; without one they are skipped before torch is imported. Their figures are kept.

`.sightline/gpu_figures.json` has them beside the device's name and the versions; they are printed too.
"""

import json
from collections.abc import Iterator

import pytest

from inference.models.registry import _nvidia_device
from tests.support.paths import ROOT

FIGURES = ROOT / ".sightline" / "gpu_figures.json"

Figures = dict[str, object]


@pytest.fixture(scope="session", autouse=True)
def _device() -> None:
    if not _nvidia_device():
        pytest.skip("no NVIDIA device")
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch cannot use the NVIDIA device")


@pytest.fixture(scope="session")
def figures() -> Iterator[Figures]:
    """What a test puts in here is kept."""
    import torch

    found: Figures = {
        "device": torch.cuda.get_device_name(),
        "memory_mib": torch.cuda.mem_get_info()[1] >> 20,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
    }
    yield found
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps(found, indent=1) + "\n")
    print(f"\n{json.dumps(found)}")
