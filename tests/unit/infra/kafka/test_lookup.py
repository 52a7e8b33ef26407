"""A look-up that is closed while another thread waits in it."""

import threading
import time
from typing import Any

import pytest

from infra.kafka import lookup
from infra.kafka.lookup import RecordLookup
from infra.settings import load_settings
from schemas.coordinates import TopicPartition
from schemas.errors import Unavailable

FRAMES_0 = TopicPartition("frames.raw", 0)


class Client:
    """Finds nothing, and each poll lasts until `answers` is set."""

    def __init__(self) -> None:
        self.polling, self.answers = threading.Event(), threading.Event()
        self.is_in_poll = self.closed_in_poll = False
        self.closes = 0

    def assign(self, positions: list[Any]) -> None: ...

    def poll(self, timeout_s: float) -> None:
        self.is_in_poll = True
        self.polling.set()
        self.answers.wait(10)
        self.is_in_poll = False

    def close(self) -> None:
        self.closes += 1
        self.closed_in_poll = self.closed_in_poll or self.is_in_poll


class Fetching:
    """A look-up with a thread that waits for a record; `error` is how that ended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.client = Client()
        monkeypatch.setattr(lookup, "consumer", lambda *_, **__: self.client)
        self.lookup = RecordLookup(load_settings())
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._fetch, daemon=True)
        self.thread.start()
        assert self.client.polling.wait(10)

    def _fetch(self) -> None:
        try:
            self.lookup.fetch(FRAMES_0, [1, 2])
        except Unavailable as error:
            self.error = error


def test_the_client_is_closed_once_no_thread_polls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fetching = Fetching(monkeypatch)
    threading.Timer(0.2, fetching.client.answers.set).start()
    fetching.lookup.close()
    fetching.thread.join(10)
    assert (fetching.client.closes, fetching.client.closed_in_poll) == (1, False)
    assert fetching.error is not None
    with pytest.raises(Unavailable, match="not looked up any more"):
        fetching.lookup.fetch(FRAMES_0, [1])


def test_a_client_that_hangs_is_waited_for_within_bounds_and_never_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "CLOSE_S", 0.2)
    fetching, started_s = Fetching(monkeypatch), time.monotonic()
    fetching.lookup.close()
    assert time.monotonic() - started_s < 5
    assert fetching.client.closes == 0
    fetching.client.answers.set()
    fetching.thread.join(10)
    assert fetching.client.closes == 0
