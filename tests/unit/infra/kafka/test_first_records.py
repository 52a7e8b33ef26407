"""Where a client begins by itself, and what happens when that offset was committed for another topic."""

from dataclasses import dataclass, field
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException

from infra.kafka.errors import KafkaFailure
from infra.kafka.first_records import FirstRecords
from infra.kafka.records import ConsumedRecord
from infra.kafka.topic_ids import note_of
from schemas.coordinates import TopicPartition

ONE = TopicPartition("frames.batches", 1)
IDS = {ONE.topic: "new"}


@dataclass
class Client:
    """Answers with this offset and note. Raises its `error`, and `seek_error` when it is to seek."""

    offset: int = 40
    note: str = ""
    error: KafkaException | None = None
    seek_error: KafkaException | None = None
    seeks: list[int] = field(default_factory=list)
    asked: int = 0

    def committed(self, partitions: list[Any], timeout: float) -> list[Any]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return [confluent_kafka.TopicPartition(*ONE, self.offset, metadata=self.note)]

    def seek(self, position: Any) -> None:
        if self.seek_error is not None:
            raise self.seek_error
        self.seeks.append(position.offset)


def record(offset: int) -> ConsumedRecord:
    return ConsumedRecord(*ONE, offset, 0, None, b"", None)


def expecting() -> FirstRecords:
    first = FirstRecords(IDS)
    first.expect([ONE])
    return first


@pytest.mark.parametrize(("offset", "note"), [(40, note_of("new")), (40, ""), (40, "of a tool"), (-1001, "")])
def test_an_offset_of_this_topic_is_looked_at_once(offset: int, note: str) -> None:
    first, client = expecting(), Client(offset, note)
    assert [first.passes(client, record(number)) for number in (40, 41)] == [True, True]
    assert (client.asked, client.seeks) == (1, [])


def test_an_offset_of_another_topic_is_none() -> None:
    first, client = expecting(), Client(40, note_of("old"))
    assert not first.passes(client, record(40))
    assert client.seeks == [OFFSET_BEGINNING]
    assert first.passes(client, record(0))
    assert client.asked == 1


def test_while_the_broker_does_not_tell_no_record_is_given_on_and_none_is_lost() -> None:
    first, client = expecting(), Client(error=KafkaException(KafkaError(KafkaError._TIMED_OUT)))
    assert not first.passes(client, record(40))
    assert client.seeks == [40]
    client.error = None
    assert first.passes(client, record(40))


@pytest.mark.parametrize("ids", [{}, {ONE.topic: None}])
def test_where_the_brokers_give_no_ids_nothing_is_asked(ids: dict[str, str | None]) -> None:
    first, client = FirstRecords(ids), Client(40, note_of("old"))
    first.expect([ONE])
    assert first.passes(client, record(40))
    assert client.asked == 0


def test_a_partition_whose_start_the_caller_decided_is_left_alone() -> None:
    first, client = expecting(), Client(40, note_of("old"))
    first.forget([ONE])
    assert first.passes(client, record(40))
    assert client.asked == 0


def test_a_client_that_cannot_be_moved_is_told() -> None:
    broken = KafkaException(KafkaError(KafkaError._STATE))
    with pytest.raises(KafkaFailure):
        expecting().passes(Client(40, note_of("old"), seek_error=broken), record(40))
