"""Quality, and `prepare` as a whole."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from inference.image import image_hash, prepare
from schemas.errors import BadFrame
from schemas.records import PixelEncoding, Quality
from tests.support.images import MAX_PIXELS, Square, encoded, measure_quality, textured, to_i420, to_model_input


def flags(rgb: np.ndarray) -> tuple[str, ...]:
    return measure_quality(np.asarray(rgb, np.uint8)).flags


def grey(value: int) -> np.ndarray:
    return np.full((224, 224, 3), value, np.uint8)


def test_a_sound_picture_has_no_flags() -> None:
    quality = measure_quality(textured(224, 224))
    assert quality.flags == ()
    assert 60 < quality.brightness < 200
    assert quality.contrast > 20


@pytest.mark.parametrize(
    ("value", "expected"), [(0, ("dark", "flat")), (20, ("dark", "flat")), (128, ("flat",)), (255, ("bright", "flat"))]
)
def test_one_colour(value: int, expected: tuple[str, ...]) -> None:
    quality = measure_quality(grey(value))
    assert quality.flags == expected
    assert quality.brightness == pytest.approx(value, abs=1.5)
    assert (quality.blur, quality.contrast) == pytest.approx((0, 0), abs=1e-4)


def test_units_are_full_range() -> None:
    half = grey(0)
    half[:, 112:] = 255
    quality = measure_quality(half)
    assert quality.brightness == pytest.approx(127.5, abs=1)
    assert quality.contrast == pytest.approx(127.5, abs=1)


def test_blur_falls_with_every_step_of_blurring() -> None:
    sharp = textured(224, 224)
    steps = [sharp, *(np.asarray(cv2.GaussianBlur(sharp, (0, 0), sigma)) for sigma in (1, 2, 4, 8))]
    measured = [measure_quality(step.astype(np.uint8)).blur for step in steps]
    assert measured == sorted(measured, reverse=True)
    assert "blurred" in flags(steps[-1])


def test_a_grey_fill_below_and_a_repeated_row_are_smears() -> None:
    filled = textured(224, 224)
    filled[150:] = 128
    assert "grey_smear" in flags(filled)
    repeated = textured(224, 224)
    repeated[120:] = repeated[120]
    assert "grey_smear" in flags(repeated)


@pytest.mark.parametrize("value", [0, 255])
def test_a_black_or_white_border_is_no_smear(value: int) -> None:
    bordered = textured(224, 224)
    bordered[150:] = value
    assert "grey_smear" not in flags(bordered)


def test_a_few_equal_rows_are_no_smear() -> None:
    short = textured(224, 224)
    short[200:] = 128
    assert "grey_smear" not in flags(short)


def test_a_jpeg_that_lost_its_second_half_is_seen_after_decoding() -> None:
    half = textured(640, 480)
    half[240:] = 128
    assert "grey_smear" in prepare(encoded(half), Square(), PixelEncoding.I420, MAX_PIXELS).quality.flags


def test_prepare_gives_i420_rgb_or_the_bytes_themselves() -> None:
    data = encoded(textured(640, 480))
    rgb = prepare(data, Square(), PixelEncoding.RGB24, MAX_PIXELS)
    pixels = np.frombuffer(rgb.pixels, np.uint8).reshape(224, 224, 3)
    i420 = prepare(data, Square(), PixelEncoding.I420, MAX_PIXELS)
    assert i420.pixels == to_i420(pixels)
    assert i420.quality == rgb.quality == measure_quality(pixels)
    assert (i420.width, i420.height, len(i420.pixels)) == (224, 224, 75_264)
    assert (i420.info.format, i420.info.width, i420.info.height) == ("JPEG", 640, 480)
    jpeg = prepare(data, Square(), PixelEncoding.JPEG, MAX_PIXELS)
    assert (jpeg.pixels, jpeg.width, jpeg.height) == (data, 640, 480)
    assert jpeg.quality == Quality(0.0, 0.0, 0.0, ("not_measured",))


def test_info_is_of_the_file_even_where_the_decode_was_smaller() -> None:
    for kind in ("JPEG", "PNG", "TIFF"):
        info = prepare(encoded(textured(1200, 900), kind), Square(), PixelEncoding.I420, MAX_PIXELS).info
        assert (info.format, info.width, info.height) == (kind, 1200, 900)


def test_small_and_damaged_are_told() -> None:
    small = encoded(textured(100, 100))
    assert "small" in prepare(small, Square(), PixelEncoding.I420, MAX_PIXELS).quality.flags
    damaged = small[: len(small) // 2] + small[-2:]  # half of the rows, and the end marker
    assert "damaged" in prepare(damaged, Square(), PixelEncoding.I420, MAX_PIXELS).quality.flags


def test_a_scaled_decode_shows_the_model_the_same_picture() -> None:
    smooth = np.asarray(cv2.GaussianBlur(textured(1920, 1080), (0, 0), 3), np.uint8)
    prepared = prepare(encoded(smooth, quality=95), Square(), PixelEncoding.RGB24, MAX_PIXELS)
    ours = np.frombuffer(prepared.pixels, np.uint8).reshape(224, 224, 3)
    assert np.abs(ours.astype(int) - to_model_input(smooth)).mean() < 2


def test_prepare_raises_only_bad_frames_and_in_every_encoding() -> None:
    for encoding in PixelEncoding:
        with pytest.raises(BadFrame, match="not_an_image"):
            prepare(b"<html>", Square(), encoding, MAX_PIXELS)


def test_many_threads_give_what_one_gives() -> None:
    files = [encoded(textured(320, 240, seed), kind) for seed in range(4) for kind in ("JPEG", "PNG", "WEBP")]
    alone = [prepare(data, Square(), PixelEncoding.I420, MAX_PIXELS) for data in files]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            together = list(pool.map(lambda data: prepare(data, Square(), PixelEncoding.I420, MAX_PIXELS), files))
            assert together == alone


def test_image_hash_is_half_a_sha256() -> None:
    assert image_hash(b"abc") == hashlib.sha256(b"abc").digest()[:16]
    assert image_hash(b"abc") != image_hash(b"abd")
