"""Copies that are on the broker get their marks, also when the dead letters after them cannot be read."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import cast

import pytest

import ingest.redrive.send
from infra.kafka.reader import Reader
from infra.kafka.records import ConsumedRecord
from infra.kafka.sender import OutRecord
from infra.kafka.spans import Span
from infra.kafka.topics import TopicNames
from infra.process.lifecycle import Stop
from ingest.redrive.send import redrive
from schemas.coordinates import Coordinates
from schemas.errors import SinkError, Unavailable
from schemas.headers import Failure, failure_headers, redriven_letter
from tests.support.memory_sender import MemorySender

NAMES = TopicNames.for_lane("")


def topics(sender: MemorySender) -> list[str]:
    return [record.topic for record in sender.records]


class Breaking:
    """A reader that gives the first dead letters of a range and then finds Kafka gone."""

    def __init__(self, letters: int) -> None:
        self._letters = letters

    def read(self, spans: list[Span], _stop: Callable[[], bool]) -> Iterator[ConsumedRecord]:
        for offset in range(self._letters):
            failure = Failure(Coordinates("frames.raw", 0, offset), 1, "decode", "x", "", 0)
            yield ConsumedRecord(spans[0].topic, 0, offset, 1, b"dock-1", b"x", failure_headers(None, failure))
        raise Unavailable("Kafka", "here", "nothing came for 60 s in the middle of a range")


def test_what_was_copied_is_marked_when_the_reader_gives_up() -> None:
    sender = MemorySender()
    with pytest.raises(Unavailable, match="nothing came"):
        redrive(sender, cast(Reader, Breaking(2)), NAMES, [(0, offset) for offset in range(5)], 1_000.0, Stop())
    assert topics(sender) == ["frames.retry", "frames.retry", "frames.dead", "frames.dead"]
    assert [redriven_letter(record.headers) for record in sender.records[2:]] == [(0, 0), (0, 1)]


def test_a_mark_is_of_the_time_of_its_copy() -> None:
    """A frame that dies again before its mark is written has then died later than that."""
    sender = MemorySender()
    redrive(sender, cast(Reader, Letters(2)), NAMES, [(0, offset) for offset in range(2)], 2.0, Stop())
    ended_ms = time.time() * 1000
    assert topics(sender) == ["frames.retry", "frames.retry", "frames.dead", "frames.dead"]
    times_ms = [record.timestamp_ms for record in sender.records]
    copied, marked = times_ms[:2], times_ms[2:]
    assert copied == [0, 0], "the delay of a retry counts from the time at which the broker takes it"
    assert ended_ms - 60_000 < marked[0] <= marked[1] <= ended_ms


class Letters(Breaking):
    def read(self, spans: list[Span], stop: Callable[[], bool]) -> Iterator[ConsumedRecord]:
        with suppress(Unavailable):
            yield from super().read(spans, stop)


def test_a_copy_without_an_answer_does_not_keep_the_others_from_their_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    sender = MemorySender(unanswered=1)
    monkeypatch.setattr(ingest.redrive.send, "FLUSH_S", 0.1)
    with pytest.raises(SinkError, match="has not acknowledged 1 records"):
        redrive(sender, cast(Reader, Letters(3)), NAMES, [(0, offset) for offset in range(3)], 1_000.0, Stop())
    marked = [redriven_letter(record.headers) for record in sender.records if record.topic == "frames.dead"]
    assert marked == [(0, 0), (0, 1)]


def test_asked_to_end_it_waits_for_no_broker_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    sender, stop = MemorySender(unanswered=1), Stop()
    monkeypatch.setattr(ingest.redrive.send, "STOP_S", 0.2)

    def send_and_stop(record: OutRecord) -> None:
        stop.set()
        MemorySender.send(sender, record)

    monkeypatch.setattr(sender, "send", send_and_stop)
    started_s = time.monotonic()
    with pytest.raises(SinkError):
        redrive(sender, cast(Reader, Letters(1)), NAMES, [(0, 0)], 1_000.0, stop)
    assert time.monotonic() - started_s < ingest.redrive.send.FLUSH_S / 3
