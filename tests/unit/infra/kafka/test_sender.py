"""Sending waits for room, gives up when told, and never waits for a producer that is over."""

import asyncio
from dataclasses import dataclass, field

import pytest

from infra.kafka.errors import FaultKind, KafkaFailure, KafkaFault
from infra.kafka.sender import ROOM_WAIT_S, OutRecord, send_async, send_wait
from schemas.errors import Busy, Stalled

RECORD = OutRecord("labels", "cam", b"value")


@dataclass
class FullSender:
    """Has no room for the first `busy` attempts."""

    busy: int = 0
    fatal: str | None = None
    refusal: KafkaFault | None = None
    max_record_bytes: int = 1_000_000
    sent: list[OutRecord] = field(default_factory=list)
    waits: list[tuple[int, float]] = field(default_factory=list)

    def send(self, record: OutRecord) -> None:
        if self.refusal is not None:
            raise KafkaFailure(self.refusal)
        if self.busy:
            self.busy -= 1
            raise Busy(0.0)
        self.sent.append(record)

    def wait_for_room(self, size_bytes: int, timeout_s: float) -> bool:
        self.waits.append((size_bytes, timeout_s))
        return True


def test_it_waits_for_room_as_often_as_needed() -> None:
    sender = FullSender(busy=3)
    assert send_wait(sender, RECORD)
    assert sender.sent == [RECORD]
    assert sender.waits == [(RECORD.size_bytes, ROOM_WAIT_S)] * 3


def test_it_gives_up_when_told_and_the_record_is_not_sent() -> None:
    sender, answers = FullSender(busy=10), iter([False, False, True])
    assert not send_wait(sender, RECORD, lambda: next(answers))
    assert sender.sent == []


def test_room_goes_before_giving_up() -> None:
    sender = FullSender()
    assert send_wait(sender, RECORD, lambda: True)
    assert sender.sent == [RECORD]


def test_a_producer_that_is_over_is_not_waited_for() -> None:
    with pytest.raises(Stalled, match="fenced"):
        send_wait(FullSender(fatal="fenced"), RECORD)
    with pytest.raises(Stalled, match="fenced"):
        asyncio.run(send_async(FullSender(fatal="fenced"), RECORD))


def test_a_record_that_is_refused_for_good_is_not_tried_again() -> None:
    sender = FullSender(refusal=KafkaFault(FaultKind.TOO_LARGE, "MSG_SIZE_TOO_LARGE", "too large"))
    with pytest.raises(KafkaFailure, match="too large"):
        send_wait(sender, RECORD)
    assert sender.waits == []


async def test_the_event_loop_goes_on_while_there_is_no_room() -> None:
    sender, turns = FullSender(busy=5), 0

    async def other() -> None:
        nonlocal turns
        while not sender.sent:
            turns += 1
            await asyncio.sleep(0)

    await asyncio.gather(send_async(sender, RECORD), other())
    assert sender.sent == [RECORD]
    assert turns >= 5
