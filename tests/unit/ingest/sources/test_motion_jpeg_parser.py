"""Pictures in a stream: whatever stands around them, each whole one comes out, unchanged and once."""

import io
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ingest.sources.motion_jpeg_parser import MAX_TEXT_BYTES, MotionJpegParser, StreamPicture
from ingest.sources.readers.motion_jpeg_stream import declared_boundary
from ingest.sources.readers.whole_jpeg import has_all_rows
from tests.support.motion_jpeg import FRAMINGS, part, picture, stream

MAX_BYTES = 1 << 20
LIMIT_BYTES = 10_000
PICTURES = [picture(number) for number in range(12)]
SIZES = st.lists(st.integers(1, 3_000), min_size=1, max_size=40)
LARGE_SIZES = st.lists(st.integers(500, 20_000), min_size=1, max_size=20)


def chunks(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """The data in pieces of these sizes, over and over."""
    at = number = 0
    while at < len(data):
        yield data[at : at + sizes[number % len(sizes)]]
        at += sizes[number % len(sizes)]
        number += 1


def whole(found: list[StreamPicture]) -> list[bytes]:
    """As the reader takes them: a picture without an end marker only where it has all of its rows."""
    return [one.data for one in found if one.ended or has_all_rows(one.data)]


def parsed(data: bytes, sizes: list[int], boundary: str = "frame") -> tuple[list[StreamPicture], int]:
    parser = MotionJpegParser(boundary, MAX_BYTES)
    found = [one for chunk in chunks(data, sizes) for one in parser.feed(chunk)]
    found += parser.finish()
    return found, parser.damaged


@pytest.mark.parametrize("name", FRAMINGS)
@pytest.mark.parametrize("size", [1, 7, 1_000, 1 << 20])
def test_every_framing_gives_every_whole_picture(name: str, size: int) -> None:
    framing = FRAMINGS[name]
    found, damaged = parsed(stream(framing, PICTURES), [size], declared_boundary(framing.content_type))
    expected = [jpeg for number, jpeg in enumerate(PICTURES) if not framing.loses(number)]
    assert [data.removesuffix(b"\xff\xd9") for data in whole(found)] == [
        jpeg.removesuffix(b"\xff\xd9") for jpeg in expected
    ]
    damaged += len(found) - len(whole(found))
    assert damaged == sum(framing.damaged(number) for number in range(len(PICTURES)))


def variants() -> dict[str, bytes]:
    """Pictures as encoders make them."""
    image = Image.open(io.BytesIO(picture(0, side=256)))
    small = picture(1, side=32)
    made: dict[str, dict[str, object]] = {
        "progressive": {"progressive": True},
        "restart markers": {"restart_marker_blocks": 1},
        "a thumbnail": {"exif": b"Exif\0\0" + small},
        "a profile that holds a boundary": {"icc_profile": b"\r\n--frame\r\n" * 10 + small},
        "grey": {},
    }
    found = {}
    for name, options in made.items():
        file = io.BytesIO()
        (image.convert("L") if name == "grey" else image).save(file, "JPEG", **options)
        found[name] = file.getvalue()
    found["padding before markers"] = found["grey"].replace(b"\xff\xc0", b"\xff\xff\xff\xc0", 1)
    found["a comment before the end"] = found["grey"][:-2] + b"\xff\xfe\0\x06\xff\xd8\xff\xd9" + b"\xff\xd9"
    return found


@pytest.mark.parametrize("name", variants())
@pytest.mark.parametrize("size", [1, 5_000])
def test_pictures_of_every_encoder_come_out_unchanged(name: str, size: int) -> None:
    jpeg = variants()[name]
    found, damaged = parsed(part(jpeg) * 3, [size])
    assert (found, damaged) == ([StreamPicture(jpeg)] * 3, 0)


def test_a_doubled_start_marker_is_one_picture() -> None:
    found, damaged = parsed(part(b"\xff\xd8" + PICTURES[0]) * 2, [100])
    assert (found, damaged) == ([StreamPicture(PICTURES[0])] * 2, 0)


def test_a_picture_comes_out_with_its_last_byte() -> None:
    parser = MotionJpegParser("frame", MAX_BYTES)
    data = part(PICTURES[0]).removesuffix(b"\r\n")
    assert parser.feed(data[:-1]) == []
    assert parser.feed(data[-1:]) == [StreamPicture(PICTURES[0])]


@given(name=st.sampled_from(sorted(FRAMINGS)), sizes=SIZES)
def test_how_the_bytes_are_cut_up_changes_nothing(name: str, sizes: list[int]) -> None:
    framing = FRAMINGS[name]
    data, boundary = stream(framing, PICTURES[:5]), declared_boundary(framing.content_type)
    assert parsed(data, sizes, boundary) == parsed(data, [1 << 20], boundary)


@given(kept=st.integers(0, len(PICTURES[0]) - 1), sizes=SIZES)
def test_a_picture_cut_anywhere_costs_no_other(kept: int, sizes: list[int]) -> None:
    data = part(PICTURES[0]) + part(PICTURES[1][:kept]) + part(PICTURES[2]) + part(PICTURES[3])
    found, damaged = parsed(data, sizes)
    others = [jpeg for jpeg in whole(found) if not is_picture_1(jpeg)]
    assert others == [PICTURES[0], PICTURES[2], PICTURES[3]]
    assert damaged + len(found) - len(others) == 1


def is_picture_1(jpeg: bytes) -> bool:
    """Whether it is picture 1 with all its rows: without its end marker it is still whole."""
    return jpeg in (PICTURES[1], PICTURES[1][:-2], PICTURES[1][:-1])


@given(at=st.integers(0, len(PICTURES[1]) - 1), value=st.integers(0, 255), sizes=LARGE_SIZES)
def test_a_changed_byte_costs_at_most_its_picture(at: int, value: int, sizes: list[int]) -> None:
    bad = PICTURES[1][:at] + bytes([value]) + PICTURES[1][at + 1 :]
    others = PICTURES[2:] * 3  # more than a segment can be long
    found, _ = parsed(part(PICTURES[0]) + part(bad) + b"".join(map(part, others)), sizes)
    assert [one.data for one in found if one.data in others] == others


@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.sampled_from(
                [b"\xff\xd8\xff", b"\xff\xd9", b"\xff\xda\0\x02", b"\r\n--frame\r\n", b"\xff" * 9, b"--frame--"]
            ),
            st.sampled_from(PICTURES),
        ),
        max_size=30,
    ),
    sizes=SIZES,
)
def test_any_bytes_are_taken_within_bounds(pieces: list[bytes], sizes: list[int]) -> None:
    parser = MotionJpegParser("frame", LIMIT_BYTES)
    for chunk in chunks(b"".join(pieces), sizes):
        assert all(len(one.data) <= LIMIT_BYTES for one in parser.feed(chunk))
        assert parser.held_bytes <= max(LIMIT_BYTES, MAX_TEXT_BYTES)
    parser.finish()
    assert parser.held_bytes == 0
    after = parser.feed(stream(FRAMINGS["as the standard says"], PICTURES))
    assert [one.data for one in after] == PICTURES


def test_a_picture_over_the_limit_is_told_and_the_next_read() -> None:
    large = picture(9, side=400)
    for size in (500, 1 << 20):
        parser = MotionJpegParser("frame", len(PICTURES[0]))
        data = part(PICTURES[0]) + part(large) + part(PICTURES[1]) + part(PICTURES[2])
        found = [one for chunk in chunks(data, [size]) for one in parser.feed(chunk)]
        assert [one.data for one in found] == [PICTURES[0], b"", *PICTURES[1:3]]


def test_a_stream_without_a_picture_is_not_kept() -> None:
    parser = MotionJpegParser("frame", MAX_BYTES)
    for _ in range(2_000):
        assert parser.feed(b"--frame\r\nContent-Type: text/plain\r\n\r\nhello\r\n" * 3) == []
        assert parser.feed(bytes(1_000)) == []
        assert parser.held_bytes <= MAX_TEXT_BYTES
    assert parser.damaged > 5_900
