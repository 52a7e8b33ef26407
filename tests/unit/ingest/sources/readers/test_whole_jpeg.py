"""Pictures without an end marker: cameras and the stage judge them by one rule, whichever reader took the picture."""

import itertools
import random

import httpx2
import pytest
from PIL import Image

from inference.image.decode import decode
from ingest.sources.parse import ReaderKind
from ingest.sources.readers.base import PictureMissed, SourceFault
from ingest.sources.readers.motion_jpeg_stream import MotionJpegStream
from ingest.sources.readers.snapshot import picture_of
from ingest.sources.readers.whole_jpeg import has_all_rows
from ingest.sources.task import CaptureTask
from schemas.errors import BadFrame
from tests.support.images import MAX_PIXELS, WHOLE, encoded, textured
from tests.support.jpegs import GREY_410, GREY_441, mosaic, mosaic_jpeg, with_stray_bytes
from tests.support.motion_jpeg import MULTIPART

PICTURE = Image.fromarray(textured(328, 240))
KINDS = {
    "sequential": encoded(PICTURE),
    "progressive": encoded(PICTURE, progressive=True),
    "restarts": encoded(PICTURE, restart_marker_rows=1),
    "progressive restarts": encoded(PICTURE, progressive=True, restart_marker_rows=1),
    "4:4:4": encoded(PICTURE, subsampling=0),
    "grey": encoded(PICTURE.convert("L"), restart_marker_blocks=7),
    "CMYK": encoded(PICTURE.convert("CMYK")),
    "4:1:0": mosaic_jpeg(mosaic(32, 24), GREY_410),
    "4:4:1": mosaic_jpeg(mosaic(32, 24), GREY_441),
    "4:1:0 restarts": mosaic_jpeg(mosaic(32, 24), GREY_410, 8),
    "stray bytes": with_stray_bytes(encoded(PICTURE, restart_marker_rows=1), 4),
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def stage_takes(jpeg: bytes) -> bool:
    try:
        return not decode(jpeg, WHOLE, MAX_PIXELS).damaged
    except BadFrame:
        return False


def snapshot_takes(jpeg: bytes) -> bool:
    class Declared:
        declared_type = "image/jpeg"

    try:
        return picture_of(Declared(), jpeg) == jpeg  # type: ignore[arg-type]
    except PictureMissed:
        return False


def stream_takes(jpeg: bytes) -> bool:
    task = CaptureTask(ReaderKind.HTTP, "http://cam/video", 100.0, False, 90, 1_000, 3_000, 1 << 20)
    body = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg + b"\r\n--frame\r\n"
    try:
        MotionJpegStream(MULTIPART, iter([body]), lambda: iter(()), task)
    except (SourceFault, httpx2.HTTPError, StopIteration):
        return False
    return True


@EVERY_KIND
@pytest.mark.parametrize("padding", [b"", b"\r\n", bytes(200), b"\xff" * 9])
def test_a_whole_picture_without_end_marker_is_published_by_both(kind: str, padding: bytes) -> None:
    jpeg = KINDS[kind][:-2] + padding
    assert stage_takes(jpeg)
    assert snapshot_takes(jpeg)
    assert stream_takes(jpeg)


@EVERY_KIND
def test_a_cut_picture_is_published_by_neither(kind: str) -> None:
    jpeg = KINDS[kind]
    for share in (0.3, 0.5, 0.9):
        cut = jpeg[: int(share * len(jpeg))]
        assert not stage_takes(cut)
        assert not snapshot_takes(cut)
        assert not stream_takes(cut)


@EVERY_KIND
def test_nothing_is_published_that_the_stage_would_not_take(kind: str) -> None:
    """Cut anywhere, between the scans of a progressive picture and its restart intervals too."""
    jpeg = KINDS[kind]
    marks = [at for at in range(len(jpeg)) if jpeg[at] == 0xFF and jpeg[at + 1] not in (0, 0xFF)]
    places = {at + shift for at, shift in itertools.product(marks, (0, 1, 2))}
    places |= set(random.Random(3).sample(range(100, len(jpeg)), 60)) | set(range(len(jpeg) - 12, len(jpeg)))
    for place in sorted(places):
        cut = jpeg[:place]
        if has_all_rows(cut):
            assert stage_takes(cut), place


def test_what_is_no_jpeg_has_no_rows() -> None:
    for data in (b"", b"\xff\xd8", b"\xff\xd8\xff", b"GIF89a" + bytes(50), KINDS["grey"][:300]):
        assert not has_all_rows(data)
