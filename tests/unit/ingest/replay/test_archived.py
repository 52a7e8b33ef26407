"""An archive and the topic as one range: every frame once, from one of both."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.records import ConsumedRecord
from infra.kafka.spans import Period, Span
from infra.settings import Settings
from ingest.replay.archived import archived, covered, pieces, share_within, without
from ingest.replay.history import ArchivedHistory, Stopped, TopicHistory, by_partition
from schemas.coordinates import TopicPartition
from schemas.replays import ReplayGap

TOPIC = "frames.raw"


@dataclass(frozen=True)
class File:
    partition: int
    from_offset: int
    to_offset: int
    least_ms: int = 0
    greatest_ms: int = 1_000
    frames: int = 10
    payload_bytes: int = 1_000
    topic: str = TOPIC


def spans(*ends: tuple[int, int], partition: int = 0) -> list[Span]:
    return [Span(TOPIC, partition, *one) for one in ends]


RANGES = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 20)).map(lambda one: (one[0], one[0] + one[1])), max_size=5
)


@given(files=RANGES, start=st.integers(0, 40), length=st.integers(0, 40))
def test_pieces_hold_each_offset_once_in_order(files: list[tuple[int, int]], start: int, length: int) -> None:
    span = Span(TOPIC, 0, start, start + length)
    held = covered(File(0, *one) for one in files)
    parts = pieces(span, held)
    offsets = [offset for part, _ in parts for offset in range(part.start, part.end)]
    assert offsets == list(range(span.start, span.end))
    archived_ones = {offset for part, is_held in parts if is_held for offset in range(part.start, part.end)}
    in_files = {offset for one in files for offset in range(*one)}
    assert archived_ones == in_files & set(offsets)
    left = {offset for part in without(span, held) for offset in range(part.start, part.end)}
    assert left == set(offsets) - in_files


def test_files_that_follow_each_other_are_one_range() -> None:
    files = [File(0, 10, 20), File(0, 0, 10), File(1, 20, 30), File(0, 25, 30)]
    assert covered(files) == [*spans((0, 20), (25, 30)), *spans((20, 30), partition=1)]


def test_only_files_of_the_time_are_read_and_their_share_is_expected() -> None:
    found = archived([File(0, 0, 10, 0, 999), File(0, 10, 20, 1_000, 1_999), File(0, 20, 30, 2_000, 2_999)], None, [])
    period = Period(1_500_000, 2_000_000)
    assert found.ranges(period) == spans((10, 20))
    assert found.expected(1_500_000, 2_000_000) == (5, 500)
    assert share_within(File(0, 0, 10, 5, 5), 0, 6_000) == 1.0


def test_what_the_archive_has_is_no_gap_and_what_is_older_than_the_range_is_none_either() -> None:
    gap = ReplayGap(TOPIC, 0, 0, 100, "gone")
    period = Period(500_000, None)
    whole = archived([File(0, 0, 100)], None, [])
    assert whole.gaps([gap], 500_000, period) == []
    late = archived([File(0, 40, 90, least_ms=100)], None, [])
    assert late.gaps([gap], 500_000, period) == [ReplayGap(TOPIC, 0, 90, 100, "gone")]
    too_late = archived([File(0, 40, 100, least_ms=600)], None, [])
    assert too_late.gaps([gap], 500_000, period) == [ReplayGap(TOPIC, 0, 0, 40, "gone")]


def test_an_archive_of_some_frames_serves_only_what_is_gone_and_says_so() -> None:
    found = archived([File(0, 0, 50), File(0, 50, 100)], "review", spans((60, 200)))
    assert found.held == tuple(spans((0, 60)))
    assert found.gaps([], 0, Period()) == [ReplayGap(TOPIC, 0, 0, 60, "the archive keeps only review")]


class Log(TopicHistory):
    """A topic in memory."""

    def __init__(self) -> None:
        super().__init__(Settings())

    def records(self, spans: Sequence[Span], stop: Stopped, below: int | None = None) -> Iterator[ConsumedRecord]:
        for span in spans:
            for offset in range(span.start, span.end):
                yield ConsumedRecord(TOPIC, span.partition, offset, offset, None, b"topic", None)

    partition = records


class Files:
    """An archive in memory."""

    def records(
        self, topic: str, partition: int, start: int, end: int, source_glob: str | None, period: Period
    ) -> Iterator[ConsumedRecord]:
        for offset in range(start, end):
            yield ConsumedRecord(topic, partition, offset, offset, None, b"archive", None)


@given(
    files=st.lists(st.tuples(st.integers(0, 2), RANGES), max_size=3),
    ranges=st.lists(st.tuples(st.integers(0, 2), RANGES), max_size=3),
)
def test_positions_never_go_back_whichever_side_has_a_frame(
    files: list[tuple[int, list[tuple[int, int]]]], ranges: list[tuple[int, list[tuple[int, int]]]]
) -> None:
    held = covered(File(partition, *one) for partition, several in files for one in several)
    wanted = covered(File(partition, *one) for partition, several in ranges for one in several)
    history = ArchivedHistory(Files(), Log(), held, Period(), None)  # type: ignore[arg-type]
    found = list(history.records(wanted, lambda: False))
    places = [(record.partition, record.offset) for record in found]
    assert sorted(places) == [(span.partition, offset) for span in wanted for offset in range(span.start, span.end)]
    for partition in range(3):
        offsets = [offset for number, offset in places if number == partition]
        assert offsets == sorted(offsets)
    for record in found:
        is_held = any(one.partition == record.partition and one.start <= record.offset < one.end for one in held)
        assert record.value == (b"archive" if is_held else b"topic")


def test_ranges_of_a_partition_stay_together() -> None:
    mixed = [*spans((10, 20)), *spans((0, 5), partition=1), *spans((0, 5))]
    assert by_partition(mixed) == [spans((0, 5), (10, 20)), spans((0, 5), partition=1)] or by_partition(mixed) == [
        spans((0, 5), partition=1),
        spans((0, 5), (10, 20)),
    ]
    assert TopicPartition(TOPIC, 0) == spans((0, 1))[0].topic_partition
