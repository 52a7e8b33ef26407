"""Thumbnails of what strangers sent: small, upright, and never an error."""

import io

import numpy as np
import pytest
from PIL import Image

from sinks.replay import pictures
from sinks.replay.pictures import MAX_PICTURE_BYTES, SIZE_PIXELS, thumbnail
from tests.support.sink_records import a_jpeg


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_large_picture_becomes_small_and_keeps_its_shape(form: str) -> None:
    small = thumbnail(encoded(Image.new("RGB", (2_000, 1_000), (200, 30, 60)), form))
    assert small is not None
    with Image.open(io.BytesIO(small)) as made:
        assert (made.format, made.size) == ("JPEG", (SIZE_PIXELS, SIZE_PIXELS // 2))
        assert all(abs(a - b) < 12 for a, b in zip(made.getpixel((9, 9)), (200, 30, 60), strict=True))  # type: ignore[arg-type]


def test_it_stands_upright_and_tells_nothing_of_its_origin() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera's maker"
    small = thumbnail(encoded(Image.new("RGB", (100, 60)), "JPEG", exif=exif))
    assert small is not None
    with Image.open(io.BytesIO(small)) as made:
        assert made.size == (60, 100)
    assert b"maker" not in small


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "I;16", "1"])
def test_any_kind_of_pixels(mode: str) -> None:
    form = "JPEG" if mode == "CMYK" else "PNG"
    assert thumbnail(encoded(Image.new(mode, (20, 20)), form)) is not None


def test_broken_bytes_are_no_picture_and_no_error() -> None:
    sound = a_jpeg()
    for data in (b"", b"no image", sound[:40], b"\x89PNG\r\n\x1a\n" + bytes(50), b"GIF89a" + bytes(40)):
        assert thumbnail(data) is None
    generator = np.random.default_rng(5)
    for form in ("JPEG", "PNG", "WEBP"):
        sound = encoded(Image.new("RGB", (64, 48), (9, 200, 30)), form)
        for _ in range(150):
            damaged = bytearray(sound)
            for at in generator.integers(0, len(damaged), 4):
                damaged[at] = int(generator.integers(0, 256))
            thumbnail(bytes(damaged))


def test_a_pixel_bomb_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_SOURCE_PIXELS", 1_000)
    assert thumbnail(encoded(Image.new("RGB", (100, 100)), "PNG")) is None


def test_noise_stays_within_its_size() -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (900, 900, 3), np.uint8)
    small = thumbnail(encoded(Image.fromarray(pixels), "PNG"))
    assert small is None or len(small) <= MAX_PICTURE_BYTES
