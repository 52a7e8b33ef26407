"""What a reader does when its clients come back with nothing: it follows on, and counts Kafka's silence alone."""

import itertools
from types import SimpleNamespace
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import OffsetSpec

import infra.kafka.reader
from infra.kafka.reader import Reader
from infra.kafka.spans import Span
from infra.settings import Settings
from schemas.coordinates import TopicPartition
from schemas.errors import Unavailable


class Clients:
    """An admin client that does not answer while `away`, and a consumer that gives batch after batch of records."""

    def __init__(self, *batches: list[int]) -> None:
        self.away = True
        self.looks = 0
        self._batches = list(batches)
        self._waiting: list[int] = []

    def list_topics(self, timeout: float) -> SimpleNamespace:
        self.looks += 1
        if self.away:
            raise confluent_kafka.KafkaException(KafkaError(KafkaError._TRANSPORT))
        return SimpleNamespace(topics={"labels": SimpleNamespace(partitions={0: None, 1: None})})

    def consume(self, count: int, timeout_s: float) -> list[SimpleNamespace]:
        if timeout_s and not self._waiting and self._batches:
            self._waiting = self._batches.pop(0)
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return [message(offset) for offset in taken]

    def incremental_assign(self, places: list[confluent_kafka.TopicPartition]) -> None:
        self.added = [(place.topic, place.partition, place.offset) for place in places]

    def __getattr__(self, _name: str) -> Any:
        return lambda *_: None


def message(offset: int) -> SimpleNamespace:
    fields = {"topic": "labels", "partition": 0, "offset": offset, "timestamp": (1, 0), "error": None}
    fields |= {"key": None, "value": b"x", "headers": None}
    return SimpleNamespace(**{name: lambda value=value: value for name, value in fields.items()})


def reader_of(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> Reader:
    monkeypatch.setattr(infra.kafka.reader, "admin", lambda _settings: clients)
    monkeypatch.setattr(infra.kafka.reader, "consumer", lambda *_, **_extra: clients)
    return Reader(Settings())


def test_following_outlives_a_broker_that_is_away_when_new_partitions_are_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(infra.kafka.reader, "METADATA_S", 0.0)
    clients = Clients([3], [4])
    records = reader_of(clients, monkeypatch).follow([Span("labels", 0, 3, 3)])
    assert [record.offset for record in (next(records), next(records)) if record] == [3, 4]
    assert next(records) is None
    assert clients.looks == 2
    clients.away = False
    assert [next(records), next(records)] == [None, None]
    assert clients.added == [("labels", 1, 0)]


class Offsets(Clients):
    """Answers every look-up of offsets with the same offsets for the log's first record and its end."""

    def __init__(self, first: int, end: int) -> None:
        super().__init__()
        self.away = False
        self._first, self._end = first, end
        self.asked_ms: list[int] = []

    def list_offsets(self, places: dict[Any, Any], **_: Any) -> dict[Any, Any]:
        return {place: SimpleNamespace(result=lambda spec=spec: self._found(spec)) for place, spec in places.items()}

    def _found(self, spec: OffsetSpec) -> SimpleNamespace:
        if spec._value >= 0:
            self.asked_ms.append(spec._value)
        return SimpleNamespace(offset=self._end if spec is infra.kafka.reader._LATEST else self._first, timestamp=7)


def test_a_time_before_1970_is_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    clients = Offsets(3, 9)
    spans = reader_of(clients, monkeypatch).spans("labels", from_us=-600_000_000)
    assert (spans, clients.asked_ms) == ([Span("labels", 0, 3, 9), Span("labels", 1, 3, 9)], [0, 0])


@pytest.mark.parametrize(("wanted", "place", "expired"), [(1, 3, 2), (12, 9, 0)])
def test_who_follows_goes_on_at_the_nearest_end_of_a_log(
    wanted: int, place: int, expired: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = Offsets(3, 9)
    reader = reader_of(clients, monkeypatch)
    reader._skip_expired(TopicPartition("labels", 0), wanted, None)
    assert clients.added == [("labels", 0, place)]
    assert sum(map(len, reader.expired)) == expired


def test_a_topic_that_is_missing_is_not_called_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable, match=r"^Kafka at \S+ has no topic nowhere\. Create them with `sightline topics"):
        reader_of(Offsets(0, 0), monkeypatch).spans("nowhere")


def test_the_time_that_the_caller_takes_is_no_silence_of_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    now = SimpleNamespace(s=0.0)
    monkeypatch.setattr(infra.kafka.reader, "time", SimpleNamespace(monotonic=lambda: now.s))
    found = []
    for record in reader_of(Clients([0, 1], [], [2], [3]), monkeypatch).read([Span("labels", 0, 0, 4)]):
        found.append(record.offset)
        now.s += 10 * infra.kafka.reader.SILENCE_S
    assert found == [0, 1, 2, 3]


def test_silence_in_the_middle_of_a_range_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count(step=1.0)
    monkeypatch.setattr(infra.kafka.reader, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    records = reader_of(Clients([0, 1]), monkeypatch).read([Span("labels", 0, 0, 4)])
    assert [next(records).offset, next(records).offset] == [0, 1]
    with pytest.raises(Unavailable, match="nothing came for 60 s"):
        next(records)
    assert next(ticks) < 5 * infra.kafka.reader.SILENCE_S
