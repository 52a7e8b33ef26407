"""OpenVINO against torch, whatever the batch; and the cache of converted models."""

import importlib.metadata
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.models import Model, Output, load_model
from inference.models.openvino_ir import ir_folder
from inference.models.openvino_runtime import MAX_PIECE, pieces
from infra.settings import InferSettings
from schemas.errors import ModelError
from schemas.records import PixelEncoding
from tests.support.photos import PHOTOS, prepared

SETTINGS = InferSettings()


@pytest.fixture(scope="module")
def model(model_home: Path) -> Model:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGHTLINE_HOME", str(model_home))
        loaded = load_model("efficientnet-lite0@openvino", SETTINGS)
    loaded.warm((32,))
    return loaded


@pytest.fixture(scope="module")
def reference() -> Output:
    return load_model("efficientnet-lite0@torch", SETTINGS).run(prepared())


def margin(output: Output) -> np.ndarray:
    """By how much the best class leads; two breeds of cat may change places by rounding."""
    return output.probability[:, 0] - output.probability[:, 1]


def test_photos_are_what_they_show(model: Model) -> None:
    best = [model.classes[index][1] for index in model.run(prepared()).class_index[:, 0]]
    assert all(name in right for name, right in zip(best, PHOTOS.values(), strict=True)), best


def test_float32_is_torch_s_result_and_the_default_is_close(model: Model, reference: Output) -> None:
    exact = load_model("efficientnet-lite0@openvino", InferSettings(precision="f32")).run(prepared())
    assert np.array_equal(exact.class_index, reference.class_index)
    np.testing.assert_allclose(exact.probability, reference.probability, atol=1e-4)
    assert exact.embedding is not None and reference.embedding is not None
    np.testing.assert_allclose(exact.embedding, reference.embedding, atol=5e-3)
    default = model.run(prepared())
    clear = margin(reference) > 0.1
    assert clear.sum() >= 4
    assert np.array_equal(default.class_index[clear, 0], reference.class_index[clear, 0])
    np.testing.assert_allclose(default.probability[:, 0], reference.probability[:, 0], atol=0.1)


def test_rgb24_gives_the_labels_of_i420(model: Model) -> None:
    rgb = model.run(prepared(PixelEncoding.RGB24))
    yuv = model.run(prepared())
    clear = margin(yuv) > 0.1
    assert np.array_equal(rgb.class_index[clear, 0], yuv.class_index[clear, 0])


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 8, 13, 32])
def test_an_image_s_result_does_not_depend_on_its_batch(model: Model, size: int) -> None:
    photos = prepared()
    alone = [model.run(photos[row : row + 1]) for row in range(len(photos))]
    rows = np.arange(size) % len(photos)
    together = model.run(photos[rows])
    assert together.class_index.shape == (size, 5)
    for place, row in enumerate(rows):
        assert set(together.class_index[place, :2]) == set(alone[row].class_index[0, :2])
        np.testing.assert_allclose(together.probability[place], alone[row].probability[0], atol=0.02)


def test_results_stay_as_they_are(model: Model) -> None:
    photos = prepared()
    first = model.run(photos)
    kept = first.probability.copy(), first.class_index.copy()
    model.run(photos[::-1])
    assert np.array_equal(first.probability, kept[0]) and np.array_equal(first.class_index, kept[1])


def test_what_it_was_not_warmed_for_is_no_failure(model: Model) -> None:
    assert model.run(np.zeros((70, 75_264), np.uint8)).class_index.shape == (70, 5)
    with pytest.raises(ModelError):
        model.run(np.zeros((1, 75_263), np.uint8))
    assert len(model.run(prepared()[:1]).class_index) == 1


def test_it_does_not_spin_between_runs(model: Model) -> None:
    model.run(prepared())
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.1


@given(st.integers(1, 300), st.integers(1, 64))
def test_pieces_cover_the_batch_in_order_and_keep_all_streams_busy(count: int, streams: int) -> None:
    dealt = pieces(count, streams)
    assert [row for start, end in dealt for row in range(start, end)] == list(range(count))
    assert all(0 < end - start <= MAX_PIECE for start, end in dealt)
    assert len(dealt) >= min(count, streams) / 2


def test_a_damaged_conversion_is_made_again(
    model: Model, model_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = ir_folder("efficientnet-lite0", model.info, PixelEncoding.I420, SETTINGS.top_k)
    copy = tmp_path / folder.relative_to(model_home)
    shutil.copytree(folder, copy)
    monkeypatch.setenv("SIGHTLINE_HOME", str(tmp_path))
    weights = copy / "model.bin"
    original = weights.read_bytes()
    weights.write_bytes(original[:-1000])
    again = load_model("efficientnet-lite0@openvino", SETTINGS)
    assert weights.read_bytes() == original
    assert np.array_equal(again.run(prepared()).class_index, model.run(prepared()).class_index)
    assert [path.name for path in copy.parent.iterdir()] == [folder.name]


def test_other_versions_of_the_libraries_convert_for_themselves(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    from inference.models.openvino_ir import _key

    before = _key(model.info, PixelEncoding.I420, 5)
    assert _key(model.info, PixelEncoding.I420, 6) != before
    assert _key(model.info, PixelEncoding.RGB24, 5) != before
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0.1")
    assert _key(model.info, PixelEncoding.I420, 5) != before


def test_a_home_that_cannot_be_written_is_one_sentence(
    model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SIGHTLINE_HOME", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="cannot be kept in"):
        load_model("efficientnet-lite0@openvino", SETTINGS)


def test_a_conversion_that_fails_says_why_and_leaves_nothing(
    model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SIGHTLINE_HOME", str(tmp_path))
    with pytest.raises(ModelError, match=r"conversion for OpenVINO failed: .*KeyError"):
        ir_folder("no-such-network", model.info, PixelEncoding.I420, SETTINGS.top_k)
    assert not list((tmp_path / "models").iterdir())
