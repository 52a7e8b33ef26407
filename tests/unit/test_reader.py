"""What a reader does when its clients come back with nothing: it follows on, and counts Kafka's silence alone."""

import itertools
from types import SimpleNamespace
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import KafkaError

import infra.reader
from infra.reader import Reader
from infra.settings import Settings
from infra.spans import Span
from schemas.errors import Unavailable


class Clients:
    """An admin client that does not answer while `away`, and a consumer that gives batch after batch of records."""

    def __init__(self, *batches: list[int]) -> None:
        self.away = True
        self.looks = 0
        self._batches = list(batches)

    def list_topics(self, timeout: float) -> SimpleNamespace:
        self.looks += 1
        if self.away:
            raise confluent_kafka.KafkaException(KafkaError(KafkaError._TRANSPORT))
        return SimpleNamespace(topics={"labels": SimpleNamespace(partitions={0: None, 1: None})})

    def consume(self, _count: int, _timeout_s: float) -> list[SimpleNamespace]:
        return [message(offset) for offset in self._batches.pop(0)] if self._batches else []

    def incremental_assign(self, places: list[confluent_kafka.TopicPartition]) -> None:
        self.added = [(place.topic, place.partition, place.offset) for place in places]

    def __getattr__(self, _name: str) -> Any:
        return lambda *_: None


def message(offset: int) -> SimpleNamespace:
    fields = {"topic": "labels", "partition": 0, "offset": offset, "timestamp": (1, 0), "error": None}
    fields |= {"key": None, "value": b"x", "headers": None}
    return SimpleNamespace(**{name: lambda value=value: value for name, value in fields.items()})


def reader_of(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> Reader:
    monkeypatch.setattr(infra.reader, "admin", lambda _settings: clients)
    monkeypatch.setattr(infra.reader, "consumer", lambda *_, **_extra: clients)
    return Reader(Settings())


def test_following_outlives_a_broker_that_is_away_when_new_partitions_are_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(infra.reader, "METADATA_S", 0.0)
    clients = Clients([3], [4])
    records = reader_of(clients, monkeypatch).follow([Span("labels", 0, 3, 3)])
    assert [record.offset for record in (next(records), next(records)) if record] == [3, 4]
    assert next(records) is None
    assert clients.looks == 2
    clients.away = False
    assert [next(records), next(records)] == [None, None]
    assert clients.added == [("labels", 1, 0)]


def test_the_time_that_the_caller_takes_is_no_silence_of_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    now = SimpleNamespace(s=0.0)
    monkeypatch.setattr(infra.reader, "time", SimpleNamespace(monotonic=lambda: now.s))
    found = []
    for record in reader_of(Clients([0, 1], [], [2], [3]), monkeypatch).read([Span("labels", 0, 0, 4)]):
        found.append(record.offset)
        now.s += 10 * infra.reader.SILENCE_S
    assert found == [0, 1, 2, 3]


def test_silence_in_the_middle_of_a_range_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count(step=1.0)
    monkeypatch.setattr(infra.reader, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    records = reader_of(Clients([0, 1]), monkeypatch).read([Span("labels", 0, 0, 4)])
    assert [next(records).offset, next(records).offset] == [0, 1]
    with pytest.raises(Unavailable, match="nothing came for 60 s"):
        next(records)
    assert next(ticks) < 5 * infra.reader.SILENCE_S
