"""The torch module: colours as OpenCV computes them, batch norm folded in, top-k and softmax right."""

import cv2
import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from inference.models import efficientnet_lite0 as lite0
from inference.models.base import Calibration
from inference.models.classifier import Classifier, i420_to_rgb, rgb24_to_rgb
from schemas.records import PixelEncoding
from tests.support.photos import SPEC, prepared
from tests.support.pixels import picture_of


def test_i420_becomes_the_rgb_that_opencv_makes_of_it() -> None:
    planes = np.random.default_rng(0).integers(0, 256, (3, 75_264), np.uint8)  # out of gamut as well: it must clip
    planes[:, : 224 * 224] = planes[:, : 224 * 224].clip(16, 235)
    ours = i420_to_rgb(torch.from_numpy(planes), 224, 224).permute(0, 2, 3, 1).numpy()
    for row, image in zip(planes, ours, strict=True):
        expected = cv2.cvtColor(row.reshape(336, 224), cv2.COLOR_YUV2RGB_I420)
        assert np.abs(image - expected.astype(np.float32)).max() <= 1.0  # opencv's is rounded, twice


@pytest.mark.parametrize("size", [(224, 224), (225, 225), (299, 299), (331, 225), (225, 300), (1, 3), (225, 1), (2, 1)])
def test_i420_of_any_size_is_what_its_equation_says(size: tuple[int, int]) -> None:
    width, height = size
    rows = np.random.default_rng(2).integers(0, 256, (2, PixelEncoding.I420.image_bytes(width, height)), np.uint8)
    ours = i420_to_rgb(torch.from_numpy(rows), width, height).permute(0, 2, 3, 1).numpy()
    for row, image in zip(rows, ours, strict=True):
        assert np.abs(image - picture_of(row, PixelEncoding.I420, width, height)).max() <= 0.2  # of its coefficients


def test_i420_of_a_flat_picture_is_that_picture() -> None:
    rgb = np.empty((224, 224, 3), np.uint8)
    rgb[:] = (200, 30, 90)
    planes = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
    back = i420_to_rgb(torch.from_numpy(planes.reshape(1, -1)), 224, 224)[0].permute(1, 2, 0).numpy()
    assert np.abs(back - rgb).max() < 2.0


def test_rgb24_keeps_rows_columns_and_channels_apart() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (2, 4, 6, 3), np.uint8)
    read = rgb24_to_rgb(torch.from_numpy(rgb.reshape(2, -1)), 6, 4)
    assert np.array_equal(read.permute(0, 2, 3, 1).numpy(), rgb)


def test_the_folded_network_is_the_original() -> None:
    network, original = lite0.network(), EfficientNet.from_name(lite0.NAME)
    original.load_state_dict(torch.load(lite0.weights_path(), weights_only=True))
    original.eval()
    images = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        expected = original(images)
        ours = network.head(network.backbone(images).mean(dim=(2, 3)))
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def test_temperature_softens_and_changes_no_order() -> None:
    network, photos = lite0.network(), torch.from_numpy(prepared().copy())
    with torch.inference_mode():
        sharp = Classifier(network, SPEC, PixelEncoding.I420, 1000, Calibration())(photos)
        soft = Classifier(network, SPEC, PixelEncoding.I420, 1000, Calibration("test", 2.0))(photos)
    assert torch.equal(sharp[0][:, :50], soft[0][:, :50])
    torch.testing.assert_close(sharp[1].sum(dim=1), torch.ones(len(photos)))
    assert (soft[1][:, 0] < sharp[1][:, 0]).all()
    assert sharp[0].dtype == torch.int32 and sharp[2].dtype == torch.float16
    assert sharp[2].shape == (len(photos), 1280)
