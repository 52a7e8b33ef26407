"""What comes out of an archive is what went in, byte for byte, whatever it is."""

from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.records import ConsumedRecord
from ingest.archive.book import Book
from ingest.archive.reading import open_archive
from ingest.archive.rows import row_groups, row_of
from ingest.archive.store import open_store
from ingest.archive.verify import verify
from tests.support.archives import NOON_MS, TOPIC, a_record, an_archive

HEADERS = st.none() | st.lists(st.tuples(st.text(max_size=8), st.none() | st.binary(max_size=8)), max_size=3)
PARTS = st.tuples(
    st.integers(0, 3),
    st.integers(-1, 2**45),
    st.none() | st.binary(max_size=12),
    st.none() | st.binary(max_size=60),
    HEADERS,
)


@st.composite
def partitions_records(draw: st.DrawFn) -> list[ConsumedRecord]:
    """Records of one partition with holes between their offsets, times in any order, values that need be no frame."""
    offset, found = 0, []
    for hole, timestamp_ms, key, value, headers in draw(st.lists(PARTS, max_size=30)):
        offset += hole
        found.append(ConsumedRecord(TOPIC, 2, offset, timestamp_ms, key, value, headers))
        offset += 1
    return found


@given(partitions_records(), st.integers(300, 2_000), st.integers(0, 60), st.integers(0, 60))
def test_every_record_comes_back_as_it_was(
    records: list[ConsumedRecord], max_bytes: int, first: int, length: int
) -> None:
    url = an_archive(records, max_bytes=max_bytes)
    archive = open_archive(url)
    assert list(archive.records(TOPIC, 2, 0, 1_000)) == records
    part = [record for record in records if first <= record.offset < first + length]
    assert list(archive.records(TOPIC, 2, first, first + length)) == part
    assert [fault for fault in verify(Book.load(open_store(url))) if fault] == []


@given(partitions_records(), st.integers(300, 2_000))
def test_spans_are_unbroken_and_tell_their_times(records: list[ConsumedRecord], max_bytes: int) -> None:
    spans = open_archive(an_archive(records, max_bytes=max_bytes)).spans(TOPIC)
    ends = [0, *(span.to_offset for span in spans)]
    assert [span.from_offset for span in spans] == ends[:-1]
    assert ends[-1] == (records[-1].offset + 1 if records else 0)
    for span in spans:
        times = [record.timestamp_ms for record in records if span.from_offset <= record.offset < span.to_offset]
        assert (span.least_ms, span.greatest_ms, span.frames) == (min(times), max(times), len(times))


def test_a_frame_tells_its_source_and_time_and_anything_else_its_key() -> None:
    row = row_of(a_record(5, "dock-7"), None)
    assert (row.source_id, row.captured_at) == ("dock-7", NOON_MS * 1000 + 7)
    other = row_of(ConsumedRecord(TOPIC, 0, 6, NOON_MS, b"k\xff", b"no frame", None), None)
    assert (other.source_id, other.captured_at) == ("k�", None)


def test_a_row_group_has_one_source_and_no_more_than_its_bytes() -> None:
    records = [a_record(offset, f"dock-{offset % 3}", image=b"x" * 400) for offset in range(60)]
    rows = [row_of(record, None) for record in records]
    size_bytes = max(row.size_bytes for row in rows)
    groups = list(row_groups(rows, 4 * size_bytes))
    assert rows == [], "the rows are freed group by group"
    assert all(len({row.source_id for row in group}) == 1 for group in groups)
    assert [len(group) for group in groups] == [4] * 15
    assert sorted(row.record.offset for group in groups for row in group) == list(range(60))
    large = row_of(a_record(1, image=b"x" * 9_000), None)
    assert [len(group) for group in row_groups([large, large], 100)] == [1, 1]
