"""The offsets of a plan hold every frame of the range, whatever the order of times within their bounds."""

from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.spans import Period, Span
from ingest.publish.record_time import AHEAD_US, record_time
from ingest.replay.ranges import PartitionTimes, bound_us, expected_span, expired_gap, span_of, unarchived
from schemas.coordinates import TopicPartition
from schemas.replays import ReplayGap

KEY = TopicPartition("frames.raw", 3)
SECOND = 1_000_000
RETENTION_US = 3_600 * SECOND
LATE_US = RETENTION_US // 2


def times_of(log: list[int | None], start: int, from_at: int, to_at: int) -> PartitionTimes:
    """As Kafka answers: the first record of that time or later that is left. None is an offset without record."""

    def first_at(at_us: int) -> int | None:
        return next((n for n, at in enumerate(log) if n >= start and at is not None and at >= at_us), None)

    return PartitionTimes(KEY, start, len(log), first_at(from_at), first_at(to_at), first_at(bound_us(to_at, LATE_US)))


@st.composite
def logs(draw: st.DrawFn) -> list[int | None]:
    """Record times as producers choose them: written in the order of time, captured up to anything before or after."""
    sent_at, log = 10**15, list[int | None]()
    for _ in range(draw(st.integers(0, 60))):
        sent_at += draw(st.sampled_from([0, SECOND, 60 * SECOND, 1_200 * SECOND]))
        if draw(st.integers(0, 9)) == 0:
            log.append(None)  # the marker of a transaction, or compacted
            continue
        captured_at = sent_at + draw(st.integers(-2 * LATE_US, 2 * AHEAD_US))
        log.append(record_time(captured_at, sent_at, RETENTION_US).at)
    return log


@given(log=logs(), start=st.integers(0, 70), begin=st.integers(-3_600, 40_000), length=st.integers(1, 20_000))
def test_a_plain_scan_finds_no_frame_outside(log: list[int | None], start: int, begin: int, length: int) -> None:
    start = min(start, len(log))
    from_at = 10**15 + begin * SECOND
    period = Period(from_at, from_at + length * SECOND)
    span = span_of(times_of(log, start, from_at, from_at + length * SECOND))
    scanned = [n for n, at in enumerate(log) if n >= start and at is not None and period.holds(at // 1000)]
    assert [n for n in scanned if span.start <= n < span.end] == scanned
    assert start <= span.start <= span.end <= len(log) or not len(span)


@given(steps=st.lists(st.integers(0, 90), max_size=50), begin=st.integers(0, 2_000), length=st.integers(1, 2_000))
def test_with_times_in_order_the_estimate_is_the_count(steps: list[int], begin: int, length: int) -> None:
    log, at = list[int | None](), 10**15
    for step in steps:
        at += step * SECOND
        log.append(at)
    from_at, to_at = 10**15 + begin * SECOND, 10**15 + (begin + length) * SECOND
    scanned = [at for at in log if at is not None and from_at <= at < to_at]
    assert len(expected_span(times_of(log, 0, from_at, to_at))) == len(scanned)


def test_nothing_so_late_and_an_empty_partition_are_empty_ranges() -> None:
    assert len(span_of(times_of([1, 2], 0, 3, 4))) == 0
    assert len(span_of(times_of([], 0, 3, 4))) == 0
    assert len(span_of(times_of([None, None], 2, 3, 4))) == 0


def gap(log: list[int | None], start: int, from_at: int, oldest_kept: int | None) -> ReplayGap | None:
    return expired_gap(times_of(log, start, from_at, from_at + 10), from_at, oldest_kept)


def test_a_range_that_begins_before_what_is_left_has_a_gap() -> None:
    assert gap([1, 2, 3, 4], 2, 2, None) == ReplayGap(
        "frames.raw", 3, 0, 2, "retention removed them before the replay began"
    )
    assert gap([1, 2, 3, 4], 0, 2, None) is None, "nothing was removed"
    assert gap([1, 2, 3, 4], 2, 4, None) is None, "what is left begins before the range"


def test_where_nothing_is_left_the_age_tells() -> None:
    assert gap([1, 2], 2, 5, oldest_kept=6) is not None
    assert gap([1, 2], 2, 5, oldest_kept=None) is not None, "not known for how long records are kept"
    assert gap([1, 2], 2, 5, oldest_kept=5) is None, "a record of the range would still be there"


def test_what_an_archive_holds_is_no_gap() -> None:
    whole = ReplayGap("frames.raw", 3, 0, 100, "gone")
    assert unarchived(whole, [Span(*KEY, 0, 100)]) == []
    assert unarchived(whole, [Span("frames.raw", 4, 0, 100)]) == [whole]
    assert unarchived(whole, [Span(*KEY, 10, 20), Span(*KEY, 15, 60), Span(*KEY, 90, 200)]) == [
        ReplayGap("frames.raw", 3, 0, 10, "gone"),
        ReplayGap("frames.raw", 3, 60, 90, "gone"),
    ]
