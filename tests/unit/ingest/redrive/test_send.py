"""Copies that are on the broker get their marks, also when the letters behind them cannot be read."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, cast

import pytest

import ingest.redrive.send
from infra.kafka.reader import Reader
from infra.kafka.records import ConsumedRecord
from infra.kafka.spans import Span
from infra.process.lifecycle import Stop
from infra.settings import Settings
from ingest.redrive.send import redrive
from schemas.coordinates import Coordinates
from schemas.errors import SinkError, Unavailable
from schemas.headers import Failure, failure_headers, redriven_letter


class Broker:
    """A publisher whose records are acknowledged by a flush."""

    def __init__(self) -> None:
        self.written: list[tuple[str, Any]] = []
        self.times_ms: list[int] = []
        self.closed = False
        self._reports: list[Callable[[None, None], None]] = []

    def send(
        self,
        topic: str,
        _key: object,
        _value: object,
        *,
        headers: object,
        on_delivery: Any,
        timestamp_ms: int,
        **_: object,
    ) -> None:
        self.written.append((topic, headers))
        self.times_ms.append(timestamp_ms)
        self._reports.append(on_delivery)

    def flush(self, _timeout_s: float) -> int:
        while self._reports:
            self._reports.pop(0)(None, None)
        return 0

    def close(self, _timeout_s: float) -> int:
        self.closed = True
        return 0


class Breaking:
    """A reader that gives the first letters of a range and then finds Kafka gone."""

    def __init__(self, letters: int) -> None:
        self._letters = letters

    def read(self, spans: list[Span], _stop: Callable[[], bool]) -> Iterator[ConsumedRecord]:
        for offset in range(self._letters):
            failure = Failure(Coordinates("frames.raw", 0, offset), 1, "decode", "x", "", 0)
            yield ConsumedRecord(spans[0].topic, 0, offset, 1, b"dock-1", b"x", failure_headers(None, failure))
        raise Unavailable("Kafka", "here", "nothing came for 60 s in the middle of a range")


def test_what_was_copied_is_marked_when_the_reader_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker()
    monkeypatch.setattr(ingest.redrive.send, "Publisher", lambda _settings: broker)
    with pytest.raises(Unavailable, match="nothing came"):
        redrive(Settings(), cast(Reader, Breaking(2)), [(0, offset) for offset in range(5)], 1_000.0, Stop())
    assert [topic for topic, _ in broker.written] == ["frames.retry", "frames.retry", "frames.dead", "frames.dead"]
    assert [redriven_letter(headers) for _, headers in broker.written[2:]] == [(0, 0), (0, 1)]
    assert broker.closed


def test_a_mark_is_of_the_time_of_its_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame that dies again before its mark is written has then died later than that."""
    broker = Broker()
    monkeypatch.setattr(ingest.redrive.send, "Publisher", lambda _settings: broker)
    redrive(Settings(), cast(Reader, Letters(2)), [(0, offset) for offset in range(2)], 2.0, Stop())
    ended_ms = time.time() * 1000
    assert [topic for topic, _ in broker.written] == ["frames.retry", "frames.retry", "frames.dead", "frames.dead"]
    copied, marked = broker.times_ms[:2], broker.times_ms[2:]
    assert copied == [0, 0], "the retry lane counts its delay from the writing"
    assert ended_ms - 60_000 < marked[0] <= marked[1] <= ended_ms


class Silent(Broker):
    """A broker that acknowledges all but one record."""

    def flush(self, timeout_s: float) -> int:
        last = self._reports.pop()
        super().flush(timeout_s)
        self._reports.append(last)
        return 1


class Letters(Breaking):
    def read(self, spans: list[Span], stop: Callable[[], bool]) -> Iterator[ConsumedRecord]:
        with suppress(Unavailable):
            yield from super().read(spans, stop)


def test_a_copy_without_an_answer_does_not_keep_the_others_from_their_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Silent()
    monkeypatch.setattr(ingest.redrive.send, "Publisher", lambda _settings: broker)
    monkeypatch.setattr(ingest.redrive.send, "FLUSH_S", 0.1)
    with pytest.raises(SinkError, match="has not acknowledged 1 records"):
        redrive(Settings(), cast(Reader, Letters(3)), [(0, offset) for offset in range(3)], 1_000.0, Stop())
    marked = [redriven_letter(headers) for topic, headers in broker.written if topic == "frames.dead"]
    assert marked == [(0, 0), (0, 1)]


def test_asked_to_end_it_waits_for_no_broker_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    broker, stop = Silent(), Stop()
    monkeypatch.setattr(ingest.redrive.send, "Publisher", lambda _settings: broker)
    monkeypatch.setattr(ingest.redrive.send, "STOPPED_S", 0.2)

    def send_and_stop(*words: Any, **more: Any) -> None:
        stop.set()
        Broker.send(broker, *words, **more)

    monkeypatch.setattr(broker, "send", send_and_stop)
    started_s = time.monotonic()
    with pytest.raises(SinkError):
        redrive(Settings(), cast(Reader, Letters(1)), [(0, 0)], 1_000.0, stop)
    assert time.monotonic() - started_s < ingest.redrive.send.FLUSH_S / 3
    assert broker.closed
