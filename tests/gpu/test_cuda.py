"""The CUDA runtime against float32 on the CPU. Skipped where torch has no NVIDIA device."""

import time

import numpy as np
import pytest

from inference.models import load_model
from infra.settings import InferSettings
from schemas.records import PixelEncoding
from tests.support.photos import PHOTOS, prepared

pytestmark = pytest.mark.gpu
SETTINGS = InferSettings(max_batch_size=64)


@pytest.fixture(scope="module", autouse=True)
def _device() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch has no NVIDIA device here")


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


@pytest.mark.filterwarnings("default")
def test_auto_takes_the_device_and_a_waiting_run_sleeps() -> None:
    model = load_model("efficientnet-lite0", InferSettings(max_batch_size=512))
    assert model.runtime == "cuda bf16"
    model.warm((512,))
    batch = np.repeat(prepared(), 512 // len(PHOTOS) + 1, axis=0)[:512]
    started, cpu_started = time.perf_counter(), time.thread_time()
    for _ in range(20):
        model.run(batch)
    wall, cpu = time.perf_counter() - started, time.thread_time() - cpu_started
    assert 20 * 512 / wall > 1000
    assert cpu <= wall
