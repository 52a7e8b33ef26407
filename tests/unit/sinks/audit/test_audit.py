"""The audit of topics in memory: which records it reads, how far back, and what it reports about removed records."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import pytest

from infra.kafka.records import ConsumedRecord
from infra.kafka.spans import Span
from infra.settings import Settings
from schemas import codec
from schemas.clocks import clock_headers
from schemas.coordinates import Coordinates, TopicPartition
from schemas.headers import Failure, RawHeaders, failure_headers
from schemas.records import Micros
from sinks.audit.command import Audit
from sinks.audit.ledger import Balance
from sinks.audit.text import describe
from tests.support.sink_records import a_label

MINUTE_MS = 60_000
NOW_MS = 1_800_000_000_000
FRAMES, LABELS = "frames.raw", "labels"


class Topics:
    """Topics with one partition each. As in Kafka, a look-up by time returns the first record that is not older."""

    def __init__(self) -> None:
        self.logs: dict[str, list[ConsumedRecord]] = {}
        self.starts: dict[str, int] = {}
        self.expired: list[Span] = []
        self.read_offsets: dict[str, set[int]] = {}

    def put(self, topic: str, timestamp_ms: int, value: bytes = b"x", headers: RawHeaders = None) -> int:
        log = self.logs.setdefault(topic, [])
        log.append(ConsumedRecord(topic, 0, len(log), timestamp_ms, None, value, headers))
        return len(log) - 1

    def label(
        self, frame: int, captured_ms: int, labelled_ms: int, clock_ms: int | None = None, frame_id: str = "dock-1/1/1"
    ) -> None:
        times = {"captured_at": captured_ms * 1000, "labelled_at": labelled_ms * 1000}
        label = a_label(Coordinates(FRAMES, 0, frame), frame_id=frame_id, **times)
        self.put(LABELS, labelled_ms, codec.encode(label), clock_headers(clock_ms))

    def spans(self, topic: str, from_us: Micros | None = None) -> list[Span]:
        log, start = self.logs.get(topic, []), self.starts.get(topic, 0)
        if from_us is not None:
            late = (record.offset for record in log[start:] if record.timestamp_ms * 1000 >= from_us)
            start = next(late, len(log))
        return [Span(topic, 0, start, len(log))]

    def log_starts(self, keys: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {key: self.starts.get(key[0], 0) for key in keys}

    def first_times_ms(self, keys: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        left = {key: self.logs.get(key[0], [])[self.starts.get(key[0], 0) :] for key in keys}
        return {key: records[0].timestamp_ms if records else -1 for key, records in left.items()}

    def read(self, spans: Iterable[Span], stop: Callable[[], bool]) -> Iterator[ConsumedRecord]:
        for span in spans:
            for record in self.logs.get(span.topic, [])[max(span.start, self.starts.get(span.topic, 0)) : span.end]:
                if stop():
                    return
                assert record.offset not in self.read_offsets.setdefault(span.topic, set()), "read twice"
                self.read_offsets[span.topic].add(record.offset)
                yield record


def audited(topics: Topics, from_ms: int | None = None, to_ms: int | None = None) -> tuple[Balance, list[str]]:
    from_us, to_us = (None if at_ms is None else at_ms * 1000 for at_ms in (from_ms, to_ms))
    topics.read_offsets.clear()
    audit = Audit.of_time(Settings(), topics, "live", from_us, to_us)  # type: ignore[arg-type]
    balance = audit.settle()
    return balance, audit.notes(balance)


def minute(number: int) -> int:
    return NOW_MS - 1_000 * MINUTE_MS + number * MINUTE_MS


@pytest.fixture
def outage() -> Topics:
    """A frame a minute. The pipeline was down; retention removed frames 0 to 599, of which 400 to 599 had no label."""
    topics = Topics()
    for number in range(1_000):
        topics.put(FRAMES, minute(number))
    for number in [*range(400), *range(600, 1_000)]:
        topics.label(number, minute(number), minute(max(number, 700 if number >= 600 else 0)))
    topics.starts[FRAMES] = 600
    return topics


@pytest.mark.parametrize(("first", "last"), [(None, None), (390, 610), (400, 600), (400, None), (450, 500)])
def test_frames_that_retention_took_without_an_outcome_are_no_ok(
    outage: Topics, first: int | None, last: int | None
) -> None:
    times_ms = (None if number is None else minute(number) for number in (first, last))
    balance, notes = audited(outage, *times_ms)
    assert (balance.ok, balance.expired, balance.missing_count) == (False, 200, 0)
    where = "before this range" if first is None else "before or inside this range"
    assert any(f"retention has removed frames {where} on 1 of 1 partitions" in note for note in notes)
    assert "there is no frame in this range" not in notes
    assert describe(balance, notes).endswith("NOT ok: retention removed 200 frames that had no outcome")


@pytest.mark.parametrize("captured_ms", [0, 4_080_000_000_000])
@pytest.mark.parametrize(("first", "last"), [(None, None), (390, 610), (400, 600), (450, 500)])
def test_a_camera_whose_clock_is_off_hides_no_frame_that_retention_took(
    first: int | None, last: int | None, captured_ms: int
) -> None:
    topics = Topics()
    for number in range(1_000):
        topics.put(FRAMES, minute(number))
    for number in [*range(400), *range(600, 1_000)]:
        topics.label(number, captured_ms, minute(max(number, 700 if number >= 600 else 0)), clock_ms=minute(number))
    topics.starts[FRAMES] = 600
    balance, _ = audited(topics, *(None if number is None else minute(number) for number in (first, last)))
    assert (balance.ok, balance.expired, balance.missing_count) == (False, 200, 0)


def test_what_the_stages_found_gone_is_noted_for_each_range() -> None:
    topics = Topics()
    for number in range(20):
        topics.put(FRAMES, minute(number))
        if not 5 <= number < 8:
            topics.label(number, minute(number), minute(number))
    sentence = (
        "2 micro-batches, offsets 40 to 41 of frames.batches/0, were removed by retention before a worker had read"
    )
    frames = "3 offsets, offsets 5 to 7 of frames.raw/0, were removed before the stream stage had read them"
    for source, error_class, message in [
        (Coordinates("frames.batches", 0, 41), "batches_skipped", sentence),
        (Coordinates("frames.batches", 0, 41), "batches_skipped", sentence),  # once more, after a crash
        (Coordinates("frames.batches", 0, 9), "not_avro", "starts with 3c"),
        (Coordinates("frames.raw", 0, 7), "frames_skipped", frames),
    ]:
        failure = Failure(source, 0, "infer", error_class, message, 0)
        topics.put("frames.dead", minute(19), b"", failure_headers(None, failure))
    balance, notes = audited(topics)
    assert (balance.ok, balance.frames, balance.dead, balance.missing_count) == (False, 20, 0, 3)
    assert notes == [sentence, frames]
    for number in range(5, 8):
        topics.label(number, minute(number), minute(21))
    balance, again = audited(topics)
    assert (balance.ok, again) == (True, notes)


def test_labels_of_a_camera_whose_clock_is_off_count_by_the_time_of_their_frames_records() -> None:
    topics = Topics()
    for number in range(20):
        topics.put(FRAMES, minute(number))
        topics.label(
            number, 0 if number % 2 else minute(number), minute(number), minute(number) if number % 2 else None
        )
    balance, notes = audited(topics, minute(5), minute(15))
    assert (balance.ok, balance.frames, balance.labels) == (True, 10, 10)
    (note,) = [note for note in notes if "clock" in note]
    assert note.startswith("the clocks of dock-1 are off: 5 labelled frames count by the time of their record")
    assert not [note for note in audited(topics, minute(4), minute(5))[1] if "clock" in note]


@pytest.mark.parametrize(("first", "last"), [(100, 300), (610, None), (700, 800)])
def test_what_expired_at_another_time_is_not_this_ranges_business(outage: Topics, first: int, last: int | None) -> None:
    assert audited(outage, minute(first), None if last is None else minute(last))[0].ok


def test_frames_that_expired_with_their_outcome_are_ok(outage: Topics) -> None:
    for number in range(400, 600):
        outage.label(number, minute(number), minute(999))
    balance, _ = audited(outage)
    assert (balance.ok, balance.expired, balance.frames) == (True, 0, 400)


def test_where_labels_were_removed_too_it_is_a_note_and_no_verdict(outage: Topics) -> None:
    outage.starts[LABELS] = 300
    assert audited(outage)[0].expired == 200, "these labels are younger than the first that is left"
    outage.starts[LABELS] = 400
    balance, notes = audited(outage)
    assert (balance.ok, balance.expired) == (True, 0)
    assert notes[-1] == (
        "retention has removed labels or dead letters too: whether older frames had an outcome is not known"
    )
    outage.starts[LABELS] = len(outage.logs[LABELS])
    balance, notes = audited(outage)
    assert (balance.missing_count, balance.expired) == (400, 0)
    assert notes[-1].endswith("the missing frames may have had an outcome")


def test_a_clock_that_is_ahead_makes_the_audit_look_further_back() -> None:
    topics = Topics()
    for ago in range(300, 0, -1):
        at_ms = NOW_MS - ago * MINUTE_MS
        topics.label(topics.put(FRAMES, at_ms + 30 * MINUTE_MS), at_ms + 30 * MINUTE_MS, at_ms)
    topics.put(FRAMES, NOW_MS + 30 * MINUTE_MS)
    balance, _ = audited(topics, NOW_MS - 10 * MINUTE_MS)
    assert (balance.frames, balance.labels, balance.missing_count) == (41, 40, 1), "but the one on its way"
    assert len(topics.read_offsets[LABELS]) < 100, "no further back than it tells"


def test_a_frame_on_its_way_makes_nobody_read_older_labels() -> None:
    topics = Topics()
    for ago in range(300, 0, -1):
        at_ms = NOW_MS - ago * MINUTE_MS
        topics.label(topics.put(FRAMES, at_ms), at_ms, at_ms)
    topics.put(FRAMES, NOW_MS)
    assert audited(topics, NOW_MS - 10 * MINUTE_MS)[0].missing_count == 1
    assert len(topics.read_offsets[LABELS]) == 20


def test_labels_that_retention_takes_during_the_audit_are_said_of_what_is_missing() -> None:
    topics = Topics()
    for _ in range(3):
        topics.label(topics.put(FRAMES, NOW_MS), NOW_MS, NOW_MS)
    topics.put(FRAMES, NOW_MS)
    topics.starts[LABELS] = 1
    audit = Audit.of_time(Settings(), topics, "live", None, None)  # type: ignore[arg-type]
    balance = audit.settle()
    topics.starts[LABELS] = 2
    assert audit.notes(balance)[-1].endswith("the missing frames may have had an outcome")


@pytest.mark.parametrize("reads", [0, 2, 4])
def test_an_audit_that_is_stopped_says_so_and_calls_nothing_missing(reads: int) -> None:
    topics = Topics()
    for _ in range(4):
        topics.label(topics.put(FRAMES, NOW_MS), NOW_MS, NOW_MS)
    topics.put(FRAMES, NOW_MS)
    audit = Audit.of_time(Settings(), topics, "live", None, None)  # type: ignore[arg-type]
    balance = audit.settle(lambda: 9.0, lambda: sum(map(len, topics.read_offsets.values())) >= reads)
    assert (balance.complete, balance.ok, balance.labels) == (False, False, reads)
    text = describe(balance, [])
    assert text.endswith("NOT proved: the time ran out before every outcome was read")
    assert "missing" not in text and "has no outcome" not in text
    assert dataclasses.asdict(balance)["complete"] is False


class Busy(Topics):
    """Topics where a frame and its label are written each time that the end of the labels topic is read."""

    def spans(self, topic: str, from_us: Micros | None = None) -> list[Span]:
        if topic == LABELS:
            number = len(self.logs.get(FRAMES, []))
            self.label(self.put(FRAMES, minute(number)), minute(number), minute(number))
        return super().spans(topic, from_us)


def test_a_range_that_grows_is_followed_and_every_label_of_it_is_read_once() -> None:
    topics, seen = Busy(), list[int]()
    audit = Audit(
        Settings(),
        topics,  # type: ignore[arg-type]
        "live",
        topics.spans(FRAMES),
        topics.spans(LABELS),
        lambda label: seen.append(label.source.offset),
    )
    for _ in range(10):
        audit.follow(lambda: topics.spans(FRAMES))
    balance = audit.settle()
    assert (balance.frames, balance.labels, balance.ok) == (11, 11, True)
    assert seen == list(range(11))
