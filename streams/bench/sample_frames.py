"""Frames to measure with: cut-outs of real photographs, encoded as a camera encodes them, no two with equal bytes."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
import skimage.data
import sklearn.datasets

from infra.process.times import now_us
from schemas import records

VGA, FULL_HD = (640, 480), (1920, 1080)
DISTINCT = 48
QUALITIES = (50, 60, 70, 75, 80, 83, 86, 88, 90, 92, 94, 96, 98)
Rgb: TypeAlias = npt.NDArray[np.uint8]


def jpegs(size: tuple[int, int] = VGA, mean_bytes: int = 63_000) -> list[bytes]:
    """`DISTINCT` JPEG images of that size, in the lowest quality at which their mean size reaches `mean_bytes`."""
    cuts = list(itertools.islice(_cuts(size), DISTINCT))
    probe = cuts[:: DISTINCT // 8]
    quality = next((q for q in QUALITIES if _mean_size(probe, q) >= mean_bytes), QUALITIES[-1])
    return [_encode(cut, quality) for cut in cuts]


def unique(jpeg: bytes, number: int) -> bytes:
    """The same image in other bytes: `number` as a comment segment after the start marker (ITU-T T.81, B.2.4.5)."""
    text = b"%016d" % number
    return jpeg[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[2:]


def stream_of(images: Sequence[bytes], count: int, sources: int, first: int = 0) -> Iterator[records.Frame]:
    """`count` frames from `sources` cameras in turn, no two of them with equal bytes."""
    for number in range(first, first + count):
        yield frame(unique(images[number % len(images)], number), f"camera-{number % sources}", number)


def frame(image: bytes, source_id: str, number: int) -> records.Frame:
    now = now_us()
    return records.Frame(
        frame_id=f"{source_id}/0/{number}",
        source_id=source_id,
        source_kind=records.SourceKind.CAMERA,
        stream_epoch=0,
        frame_seq=number,
        captured_at=now,
        received_at=now,
        encoding=records.Encoding.JPEG,
        image=image,
    )


def _encode(rgb: Rgb, quality: int) -> bytes:
    return bytes(simplejpeg.encode_jpeg(rgb, quality=quality, colorsubsampling="420"))


def _mean_size(pictures: Sequence[Rgb], quality: int) -> float:
    return sum(len(_encode(picture, quality)) for picture in pictures) / len(pictures)


def _cuts(size: tuple[int, int]) -> Iterator[Rgb]:
    data: Any = skimage.data
    photos = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    photos += sklearn.datasets.load_sample_images().images
    random = np.random.default_rng(7)
    for photo in itertools.cycle(photos):
        height, width = photo.shape[:2]
        zoom = random.uniform(0.7, 1.0)
        cut_width = int(min(width, height * size[0] / size[1]) * zoom)
        cut_height = int(cut_width * size[1] / size[0])
        left, top = random.integers(0, width - cut_width + 1), random.integers(0, height - cut_height + 1)
        cut = cv2.resize(photo[top : top + cut_height, left : left + cut_width], size, interpolation=cv2.INTER_CUBIC)
        grain = random.normal(0, 4, cut.shape)  # an enlarged photograph is smoother than the image of a sensor
        yield np.clip(cut + grain, 0, 255).astype(np.uint8)
