"""The CUDA runtime against float32 on the CPU."""

import time

import numpy as np
import pytest

from inference.models import load_model
from infra.settings import InferSettings
from schemas.records import PixelEncoding
from tests.gpu.conftest import Figures
from tests.support.photos import PHOTOS, prepared
from tests.support.pixels import picture_of

pytestmark = pytest.mark.gpu
SETTINGS = InferSettings(max_batch_size=64)


@pytest.mark.filterwarnings("default")
def test_bfloat16_agrees_with_float32_in_every_batch() -> None:
    model = load_model("efficientnet-lite0@cuda", SETTINGS)
    model.warm((SETTINGS.max_batch_size,))
    photos = prepared()
    reference = load_model("efficientnet-lite0@torch", SETTINGS).run(photos)
    clear = reference.probability[:, 0] - reference.probability[:, 1] > 0.1  # not the two breeds of cat
    for size in (1, 2, 3, 7, 33, 64, 100):
        rows = np.arange(size) % len(photos)
        output = model.run(photos[rows])
        assert np.array_equal(output.class_index[clear[rows], 0], reference.class_index[rows[clear[rows]], 0])
        np.testing.assert_allclose(output.probability[:, 0], reference.probability[rows, 0], atol=0.1)
        assert output.embedding is not None and output.embedding.shape == (size, 1280)
    rgb = model.run(prepared(PixelEncoding.RGB24))
    assert np.array_equal(rgb.class_index[clear, 0], reference.class_index[clear, 0])


@pytest.mark.parametrize("size", [(224, 224), (225, 299), (331, 331), (1, 3)])
def test_i420_of_any_size_becomes_rgb_on_the_device(size: tuple[int, int]) -> None:
    import torch

    from inference.models.classifier import i420_to_rgb

    row = np.random.default_rng(3).integers(0, 256, PixelEncoding.I420.image_bytes(*size), np.uint8)
    ours = i420_to_rgb(torch.from_numpy(row[None]).cuda(), *size)[0].permute(1, 2, 0).cpu().numpy()
    assert np.abs(ours - picture_of(row, PixelEncoding.I420, *size)).max() <= 0.2


@pytest.mark.filterwarnings("default")
def test_auto_takes_the_device_and_a_waiting_run_sleeps(figures: Figures) -> None:
    model = load_model("efficientnet-lite0", InferSettings(max_batch_size=512))
    assert model.runtime == "cuda bf16"
    model.warm((512,))
    batch = np.repeat(prepared(), 512 // len(PHOTOS) + 1, axis=0)[:512]
    started, cpu_started = time.perf_counter(), time.thread_time()
    for _ in range(20):
        model.run(batch)
    wall, cpu = time.perf_counter() - started, time.thread_time() - cpu_started
    figures["batches_of_512"] = {"images_per_s": round(20 * 512 / wall), "cpu_share": round(cpu / wall, 2)}
    assert 20 * 512 / wall > 1000
    assert cpu <= wall
