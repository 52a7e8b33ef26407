"""Where one file of a partition ends and the next one begins."""

from infra.settings import ArchiveSettings
from ingest.archive.due import Tail, is_due, worth_reading
from ingest.archive.layout import HOUR_MS
from ingest.archive.manifest import MAX_HOLES
from ingest.archive.rows import Row, row_of
from ingest.archive.slices import Slicer
from tests.support.archives import NOON_MS, a_record


def a_row(offset: int, minute: int = 0, image: bytes = b"x") -> Row:
    return row_of(a_record(offset, timestamp_ms=NOON_MS + minute * 60_000, image=image), None)


def test_a_slice_ends_before_the_first_record_of_a_later_hour_and_not_at_an_earlier_one() -> None:
    slicer = Slicer(0, 0, 1 << 30)
    minutes = [10, 50, 20, 61, 59, 62, 121]
    ended = [slicer.add(a_row(offset, minute)) for offset, minute in enumerate(minutes)]
    cuts = [(piece.from_offset, piece.to_offset) for piece in ended if piece]
    assert cuts == [(0, 3), (3, 6)], "a late record of the hour before stays where its offset is"
    last = slicer.end(7)
    assert last and (last.from_offset, last.to_offset, last.least_ms) == (6, 7, NOON_MS + 121 * 60_000)


def test_a_slice_ends_before_it_is_too_large_and_a_large_record_stands_alone() -> None:
    slicer = Slicer(0, 0, 3_000)
    sizes = [1_000, 1_000, 1_000, 9_000, 100]
    ended = [piece for offset, size in enumerate(sizes) if (piece := slicer.add(a_row(offset, image=b"x" * size)))]
    ended.append(slicer.end(5))  # type: ignore[arg-type]
    assert [(piece.from_offset, piece.to_offset) for piece in ended] == [(0, 2), (2, 3), (3, 4), (4, 5)]


def test_offsets_without_a_record_are_holes_and_belong_to_exactly_one_slice() -> None:
    slicer = Slicer(0, 0, 1 << 30)
    assert slicer.add(a_row(3)) is None
    first = slicer.add(a_row(7, minute=60))
    assert first and (first.from_offset, first.to_offset, first.holes) == (0, 7, [(0, 3), (4, 7)])
    last = slicer.end(10)
    assert last and (last.from_offset, last.to_offset, last.holes) == (7, 10, [(8, 10)])


def test_holes_are_bounded_and_still_cover_all() -> None:
    slicer = Slicer(0, 0, 1 << 30)
    for offset in range(1, 4 * MAX_HOLES, 2):
        slicer.add(a_row(offset))
    last = slicer.end(4 * MAX_HOLES)
    assert last and len(last.holes) == MAX_HOLES
    assert last.holes[-1] == (2 * (MAX_HOLES - 1), 4 * MAX_HOLES - 1)


def test_what_retention_took_in_the_middle_is_in_no_slice() -> None:
    slicer = Slicer(0, 0, 1 << 30)
    slicer.add(a_row(0))
    before = slicer.lost(2, 6)
    assert before and (before.from_offset, before.to_offset, before.holes) == (0, 2, [(1, 2)])
    slicer.add(a_row(6))
    last = slicer.end(7)
    assert last and (last.from_offset, last.to_offset, last.holes) == (6, 7, [])
    empty = Slicer(0, 4, 1 << 30)
    assert empty.lost(4, 6) is None
    assert empty.end(6) is None


def test_records_that_are_not_kept_do_not_fill_a_slice() -> None:
    slicer = Slicer(0, 0, 500)
    assert [slicer.add(a_row(offset, image=b"x" * 300), keep=False) for offset in range(5)] == [None] * 5
    last = slicer.end(5)
    assert last and last.kept == [] and last.hour == NOON_MS // HOUR_MS


def test_an_unfinished_hour_waits_but_no_clock_holds_it_up_for_ever() -> None:
    settings = ArchiveSettings(max_delay_s=7_200)
    hour = NOON_MS // HOUR_MS
    assert not is_due(hour, NOON_MS, NOON_MS + HOUR_MS - 1, settings)
    assert is_due(hour, NOON_MS, NOON_MS + HOUR_MS, settings)
    ahead = hour + 20
    assert not is_due(ahead, NOON_MS, NOON_MS + HOUR_MS, settings)
    assert is_due(ahead, NOON_MS, NOON_MS + 2 * HOUR_MS, settings)


def test_an_unfinished_slice_is_read_again_only_once_it_may_be_due() -> None:
    settings = ArchiveSettings(max_file_bytes=1_000)
    tail = Tail(100, 200, 400, NOON_MS // HOUR_MS, NOON_MS)
    assert worth_reading(None, 100, 200, NOON_MS, settings)
    assert not worth_reading(tail, 100, 200, NOON_MS + 1, settings)
    assert not worth_reading(tail, 100, 340, NOON_MS + 1, settings)
    assert worth_reading(tail, 100, 360, NOON_MS + 1, settings), "by now it may be full"
    assert worth_reading(tail, 100, 200, NOON_MS + HOUR_MS, settings)
    assert worth_reading(tail, 150, 200, NOON_MS + 1, settings), "another slice"


def test_records_without_a_time_fill_files_as_others_do() -> None:
    slicer = Slicer(0, 0, 3_000)
    rows = [row_of(a_record(offset, timestamp_ms=-1, image=b"x" * 1_000), None) for offset in range(4)]
    ended = [piece for row in rows if (piece := slicer.add(row))]
    assert [(piece.from_offset, piece.to_offset) for piece in ended] == [(0, 2)]
