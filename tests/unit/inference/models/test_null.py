"""The null model, the registry, and what is promised of both: nothing heavy is imported."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inference.models import InputSpec, describe_model, encoding_of, known_specs, load_model
from inference.models.cpus import usable_cpus
from infra.settings import InferSettings
from schemas.errors import ConfigError, ModelError
from schemas.records import PixelEncoding

SETTINGS = InferSettings()


def images(*first_bytes: int, encoding: PixelEncoding = PixelEncoding.I420) -> np.ndarray:
    rows = np.zeros((len(first_bytes), InputSpec(224, 224, 256).row_bytes(encoding)), np.uint8)
    rows[:, 0] = first_bytes
    return rows


def test_each_image_gets_the_label_of_its_first_byte_whatever_the_batch() -> None:
    model = load_model("null", SETTINGS)
    together = model.run(images(3, 17, 255))
    assert together.class_index[:, 0].tolist() == [3, 7, 5]
    assert together.embedding is None
    for row, byte in enumerate((3, 17, 255)):
        alone = model.run(images(byte))
        assert alone.class_index[0].tolist() == together.class_index[row].tolist()
        assert alone.probability[0].tolist() == together.probability[row].tolist()


def test_probabilities_fall_and_every_class_has_a_name() -> None:
    model = load_model("null", InferSettings(top_k=3))
    output = model.run(images(9, encoding=PixelEncoding.RGB24))
    assert output.class_index.tolist() == [[9, 0, 1]]
    assert (np.diff(output.probability[0]) < 0).all()
    assert model.classes[9] == ("9", "null 9")
    assert load_model("null", InferSettings(top_k=100)).run(images(1)).class_index.shape == (1, 10)


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((1, 7), np.uint8), np.zeros((0, 75_264), np.uint8), np.zeros((1, 75_264)), np.zeros(75_264, np.uint8)],
)
def test_pixels_of_another_shape_are_refused_with_that_shape(pixels: np.ndarray) -> None:
    with pytest.raises(ModelError, match="224x224 images as I420 or RGB24"):
        encoding_of(pixels, InputSpec(224, 224, 256))


def test_an_unknown_model_is_answered_with_the_known_ones() -> None:
    for spec in ("resnet", "efficientnet-lite0@tpu", "null@torch", ""):
        with pytest.raises(ConfigError, match=r"known are null, efficientnet-lite0, .*@cuda, .*@openvino"):
            load_model(spec, SETTINGS)
        with pytest.raises(ConfigError):
            describe_model(spec)
    assert "null" in known_specs()


def test_a_model_is_described_without_torch_or_openvino() -> None:
    program = (
        "import sys; from inference.models import describe_model;"
        "info = describe_model('efficientnet-lite0'); assert len(info.classes) == 1000;"
        "assert info.classes[207] == ('207', 'golden retriever');"
        "heavy = {'torch', 'torchvision', 'openvino', 'efficientnet_lite_pytorch'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_version_is_of_the_weights_and_the_preprocessing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from inference.models import efficientnet_lite0 as lite0

    def version() -> str:
        lite0.describe.cache_clear()
        return lite0.describe().ref.version

    original = version()
    assert version() == original and len(original) == 12
    monkeypatch.setattr(lite0, "PREPROCESS_ID", "something else")
    assert version() != original
    monkeypatch.undo()
    other = tmp_path / "other.pth"
    other.write_bytes(b"other weights")
    monkeypatch.setattr(lite0, "weights_path", lambda: other)
    assert version() != original
    monkeypatch.setattr(lite0, "weights_path", lambda: tmp_path / "none.pth")
    with pytest.raises(ModelError, match="the weights cannot be read"):
        version()
    monkeypatch.undo()
    assert version() == original


def test_a_container_s_cpu_quota_counts(tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    allowed = usable_cpus(tmp_path / "none")
    assert allowed >= 1
    quota.write_text("max 100000\n")
    assert usable_cpus(quota) == allowed
    quota.write_text("50000 100000\n")
    assert usable_cpus(quota) == 1
    quota.write_text("nonsense")
    assert usable_cpus(quota) == allowed
