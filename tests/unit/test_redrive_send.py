"""Copies that are on the broker get their marks, also when the letters behind them cannot be read."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

import ingest.redrive_send
from infra.lifecycle import Stop
from infra.reader import Reader
from infra.settings import Settings
from infra.spans import Record, Span
from ingest.redrive_send import redrive
from schemas.errors import Unavailable
from schemas.headers import Failure, failure_headers, redriven_letter
from schemas.records import SourceRef


class Broker:
    """A publisher whose records are acknowledged by a flush."""

    def __init__(self) -> None:
        self.written: list[tuple[str, Any]] = []
        self.closed = False
        self._reports: list[Callable[[None, None], None]] = []

    def send(self, topic: str, _key: object, _value: object, *, headers: object, on_delivery: Any, **_: object) -> None:
        self.written.append((topic, headers))
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

    def read(self, spans: list[Span], _stop: Callable[[], bool]) -> Iterator[Record]:
        for offset in range(self._letters):
            failure = Failure(SourceRef("frames.raw", 0, offset), 1, "decode", "x", "", 0)
            yield Record(spans[0].topic, 0, offset, 1, b"dock-1", b"x", failure_headers(None, failure))
        raise Unavailable("Kafka", "here", "nothing came for 60 s in the middle of a range")


def test_what_was_copied_is_marked_when_the_reader_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker()
    monkeypatch.setattr(ingest.redrive_send, "Publisher", lambda _settings: broker)
    with pytest.raises(Unavailable, match="nothing came"):
        redrive(Settings(), cast(Reader, Breaking(2)), [(0, offset) for offset in range(5)], 1_000.0, Stop())
    assert [topic for topic, _ in broker.written] == ["frames.retry", "frames.retry", "frames.dead", "frames.dead"]
    assert [redriven_letter(headers) for _, headers in broker.written[2:]] == [(0, 0), (0, 1)]
    assert broker.closed
