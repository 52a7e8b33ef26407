"""The reader of motion JPEG on bodies that follow a script: what it gives, counts and refuses; no socket."""

from collections.abc import Iterable, Iterator
from types import SimpleNamespace

import pytest

import ingest.sources.readers.motion_jpeg_stream
from ingest.sources.parse import ReaderKind
from ingest.sources.readers.base import ImageRefused, SourceFault
from ingest.sources.readers.motion_jpeg_stream import MotionJpegStream, declared_boundary
from ingest.sources.readers.whole_jpeg import has_all_rows
from ingest.sources.task import CaptureTask
from tests.support.motion_jpeg import MULTIPART, TEXT_PART, part, picture

TASK = CaptureTask(ReaderKind.HTTP, "http://cam/video", 100.0, False, 90, 1_000, 3_000, 1 << 20)
PICTURES = [picture(number) for number in range(6)]


def body(*script: bytes | Exception) -> Iterator[bytes]:
    """Gives the bytes and raises the errors of the script."""
    for each in script:
        if isinstance(each, Exception):
            raise each
        yield each


def reader_of(first: Iterable[bytes], *further: Iterable[bytes], task: CaptureTask = TASK) -> MotionJpegStream:
    answers = iter(further)
    return MotionJpegStream(MULTIPART, iter(first), lambda: iter(next(answers)), task)


def images(reader: MotionJpegStream, count: int) -> list[bytes]:
    found = []
    for _ in range(count):
        assert reader.grab() is not None
        image = reader.retrieve()
        assert image is not None
        found.append(image.data)
    return found


def test_the_picture_that_opening_waited_for_is_the_first() -> None:
    reader = reader_of([part(jpeg) for jpeg in PICTURES])
    assert images(reader, 6) == PICTURES
    assert (reader.damaged, reader.replaced) == (0, 0)


def test_of_several_in_one_read_the_newest_whole_one_is_given() -> None:
    cut = PICTURES[2][:1_000]
    reader = reader_of([part(PICTURES[0]) + part(PICTURES[1]) + part(cut) + b"--frame", part(PICTURES[3])])
    assert images(reader, 2) == [PICTURES[1], PICTURES[3]]
    assert (reader.damaged, reader.replaced) == (1, 1)


def test_text_parts_are_counted() -> None:
    assert reader_of([TEXT_PART * 3 + part(PICTURES[0])]).damaged == 3


def test_an_answer_that_ends_after_a_picture_is_asked_for_again() -> None:
    without_end_marker = PICTURES[1].removesuffix(b"\xff\xd9")
    reader = reader_of([part(PICTURES[0]), b"--frame--\r\n"], [without_end_marker], [part(PICTURES[2])])
    assert images(reader, 3) == [PICTURES[0], without_end_marker, PICTURES[2]]


def test_an_answer_without_a_picture_is_a_fault() -> None:
    reader = reader_of([part(PICTURES[0])], [TEXT_PART])
    reader.grab()
    with pytest.raises(SourceFault, match="the stream ended without a picture"):
        reader.grab()


def test_an_answer_that_breaks_off_is_a_fault() -> None:
    reader = reader_of(body(part(PICTURES[0]), SourceFault("the stream broke off: reset")))
    reader.grab()
    with pytest.raises(SourceFault, match="broke off: reset"):
        reader.grab()


def test_text_that_never_ends_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = iter(range(1_000))
    clock = SimpleNamespace(monotonic=lambda: next(now_s), sleep=None)
    monkeypatch.setattr(ingest.sources.readers.motion_jpeg_stream, "time", clock)
    with pytest.raises(SourceFault, match="no picture for 3000 ms"):
        reader_of(TEXT_PART for _ in range(100))


def test_a_picture_over_the_limit_is_refused() -> None:
    fields = {name: getattr(TASK, name) for name in TASK.__slots__}
    task = CaptureTask(**{**fields, "max_image_bytes": len(PICTURES[0])})
    reader = reader_of([part(picture(7, side=200)), part(PICTURES[0])], task=task)
    reader.grab()
    with pytest.raises(ImageRefused, match="the limit is"):
        reader.retrieve()
    assert images(reader, 1) == PICTURES[:1]


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (MULTIPART, "frame"),
        ('multipart/x-mixed-replace; boundary ="a b"', "a b"),
        ('multipart/x-mixed-replace;BOUNDARY="half', "half"),
        ("multipart/x-mixed-replace; boundary=--frame; charset=utf-8", "--frame"),
        ("multipart/x-mixed-replace", ""),
        ("", ""),
    ],
)
def test_declared_boundaries(content_type: str, boundary: str) -> None:
    assert declared_boundary(content_type) == boundary


def test_a_picture_with_missing_rows_is_not_whole() -> None:
    jpeg = picture(0, side=160)
    assert has_all_rows(jpeg[:-2])
    assert has_all_rows(jpeg[:-2] + b"\r\n" + bytes(100))
    assert not has_all_rows(jpeg[:-100] + bytes(10))
    assert not has_all_rows(jpeg[: len(jpeg) // 2])
    assert not has_all_rows(b"")
