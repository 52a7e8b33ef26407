"""Which way frames go while Kafka comes and goes, on a sender in memory and a clock that the test turns."""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.kafka.errors import FaultKind, KafkaFault
from infra.process.times import now_us
from ingest.publish.drops import DropCounts
from ingest.publish.frame import OutgoingFrame
from ingest.publish.outbox import Outbox
from ingest.publish.spool.disk_queue import DiskQueue, Limits
from ingest.publish.spool.spooler import CATCH_UP, SYNC_EVERY_S, Spooler
from schemas.codec import decode
from schemas.errors import Unavailable
from schemas.records import Encoding, Frame, SourceKind
from tests.support.memory_sender import INVALID, MemorySender

TIMED_OUT = KafkaFault(FaultKind.PASSING, "_MSG_TIMED_OUT", "Local: Message timed out")
RATE_PER_S = 5.0
AFTER_S = 2.0


class Rig:
    def __init__(self, folder: Path, limits: Limits | None = None, registry: Any = None) -> None:
        self.now_s, self.sender, self.drops, self.count = 100.0, MemorySender(), DropCounts(), 0
        self.folder, self.limits, self.registry = folder, limits or Limits(1 << 30, 1 << 50), registry
        self.start()

    def start(self) -> None:
        """A new process on the same folder: what the old one held in memory is gone."""
        self.outbox = Outbox(self.sender, "frames.raw", self.drops.add, self.registry, retention_h=24)
        self.queue = DiskQueue(self.folder, self.limits, self.outbox.lose)
        self.spooler = Spooler(self.outbox, self.queue, lambda _: RATE_PER_S, AFTER_S, lambda: self.now_s)

    def publish(self, frames: int = 1, source_id: str = "cam", epoch: int = 1, **extra: Any) -> None:
        for _ in range(frames):
            self.count += 1
            frame = OutgoingFrame(
                source_id,
                SourceKind.CAMERA,
                epoch,
                self.count,
                now_us(),
                Encoding.JPEG,
                b"x",
                "sim:",
                live=True,
                **extra,
            )
            assert self.spooler.publish(frame, lambda: False)

    def wait(self, seconds: float, answers: bool = False) -> None:
        """Time passes, and `work` is called as often as it wants to be."""
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            if answers:
                self.sender.flush(0)
            self.spooler.work()
            self.now_s += self.spooler.pause_s(0.25)
        self.spooler.work()

    def sent(self, source_id: str = "cam") -> list[str]:
        return [decode(Frame, one.value).frame_id for one in self.sender.records if one.key == source_id]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def ids(*numbers: int, source_id: str = "cam", epoch: int = 1) -> list[str]:
    return [f"{source_id}/{epoch}/{number}" for number in numbers]


def test_while_kafka_answers_nothing_is_written(rig: Rig) -> None:
    for _ in range(20):
        rig.publish()
        rig.wait(0.2, answers=True)
    assert len(rig.sent()) == 20
    assert list(rig.folder.glob("*.spool")) == []


def test_frames_join_the_tail_and_follow_in_order(rig: Rig) -> None:
    rig.publish(3)
    rig.wait(AFTER_S + 0.5)
    assert rig.queue.frames("cam") == 3, "those under way are on disk too"
    rig.publish(4)
    assert rig.sent() == ids(0, 1, 2), "no frame passes them"
    rig.sender.flush(0)
    rig.wait(0.1)
    rig.publish()
    rig.wait(3.0, answers=True)
    assert rig.sent() == ids(*range(8))
    assert (rig.queue.frames(), rig.spooler.is_empty()) == (0, True)
    rig.publish()
    assert rig.sent() == ids(*range(9)), "at once"
    assert rig.drops.total() == {}


def test_it_is_sent_at_twice_the_rate_of_its_source_and_other_sources_are_not_touched(rig: Rig) -> None:
    rig.publish()
    rig.wait(AFTER_S + 0.5)
    rig.publish(100)
    rig.sender.flush(0)
    before = len(rig.sent())
    for _ in range(5):
        rig.publish(source_id="gate")
        rig.wait(1.0, answers=True)
    assert len(rig.sent()) - before == pytest.approx(5 * CATCH_UP * RATE_PER_S, abs=CATCH_UP * RATE_PER_S + 1)
    assert rig.sent("gate") == ids(*range(5), source_id="gate"), "each at once"
    assert rig.queue.frames("gate") == 0


def test_after_a_kill_everything_on_disk_is_sent_once_more_under_its_own_name(rig: Rig) -> None:
    rig.publish(3)
    rig.wait(AFTER_S + 0.5)
    rig.publish(4)
    rig.sender = MemorySender()
    rig.start()
    rig.publish(2, epoch=2)
    rig.wait(5.0, answers=True)
    assert rig.sent() == [*ids(*range(7)), *ids(0, 1, epoch=2)]
    assert [decode(Frame, one.value).captured_at for one in rig.sender.records] == list(range(1, 10))
    assert rig.outbox.undelivered("cam") == 0


def test_what_was_acknowledged_before_the_last_sync_is_not_sent_again(rig: Rig) -> None:
    rig.publish(4)
    rig.wait(AFTER_S + 0.5)
    rig.publish(2)
    for record in rig.sender.records[:3]:
        rig.sender.report(record)
    rig.wait(SYNC_EVERY_S + 0.3)
    rig.sender = MemorySender()
    rig.start()
    rig.wait(3.0, answers=True)
    assert rig.sent() == ids(3, 4, 5)


def test_a_source_that_cannot_wait_does_not_hold_up_one_that_can(rig: Rig) -> None:
    """The frame of a file is never on disk: the file has it."""
    finite = OutgoingFrame("file", SourceKind.CAMERA, 1, 1, 1, Encoding.JPEG, b"x", "a.jpg")
    assert rig.spooler.publish(finite, lambda: False)
    rig.wait(AFTER_S + 1)
    assert rig.queue.frames() == 0
    rig.sender.max_queue_bytes = 1
    assert not rig.spooler.has_room()
    assert not rig.spooler.publish(finite, lambda: True), "it waits for room as long as it takes"


def test_a_client_without_room_is_waited_for_no_longer_than_a_frame_may_wait(rig: Rig) -> None:
    rig.sender.busy = 3
    rig.publish()
    assert (rig.sent(), rig.queue.frames()) == (ids(0), 0)
    rig.sender.busy = 1_000_000
    rig.spooler._clock = ticking(rig)
    rig.publish(3)
    assert rig.queue.frames("cam") == 4
    assert rig.now_s < 100 + AFTER_S + 1, "the three together"


def ticking(rig: Rig) -> Callable[[], float]:
    def now_s() -> float:
        rig.now_s += 0.01
        return rig.now_s

    return now_s


def test_a_delivery_that_timed_out_is_sent_again_and_does_not_count_as_failed(rig: Rig) -> None:
    rig.publish(4)
    for record in list(rig.sender.records):
        rig.sender.report(record, TIMED_OUT)
    rig.wait(2.0, answers=True)
    assert rig.sent() == ids(0, 1, 2, 3, 0, 1, 2, 3)
    assert (rig.outbox.failed().total(), rig.outbox.undelivered("cam"), rig.queue.frames()) == (0, 0, 0)


def test_what_kafka_refuses_for_good_leaves_the_spool_and_counts_as_failed(rig: Rig) -> None:
    rig.publish(3)
    rig.wait(AFTER_S + 0.5)
    for record in list(rig.sender.records):
        rig.sender.report(record, INVALID)
    rig.wait(1.0)
    assert rig.queue.frames() == 0
    assert rig.drops.of("cam") == {"undelivered": 3}


def test_a_full_disk_is_a_counted_drop_and_what_is_on_it_is_sent(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.publish(2)
    rig.wait(AFTER_S + 0.5)
    rig.publish(2)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as without_disk:
        without_disk.setattr("ingest.publish.spool.segment.os.writev", full)
        rig.publish(3)
    assert rig.drops.of("cam") == {"disk_full": 3}
    rig.wait(3.0, answers=True)
    assert rig.sent() == ids(0, 1, 2, 3)
    assert rig.outbox.undelivered("cam") == 3


def test_with_a_full_disk_frames_still_go_to_the_clients_own_queue(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ingest.publish.spool.segment.os.writev", full)
    rig.publish(2)
    rig.wait(AFTER_S + 0.5)
    rig.publish(2)
    assert rig.sent() == ids(0, 1, 2, 3)
    assert rig.drops.total() == {}


def test_no_copy_goes_behind_younger_frames(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full for the copy of the frame that is under way, and not for the one behind it."""
    real, calls = os.writev, 0

    def full_once(*given: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*given)

    rig.publish()
    rig.now_s += AFTER_S + 0.5
    monkeypatch.setattr("ingest.publish.spool.segment.os.writev", full_once)
    rig.publish(2)
    rig.sender = MemorySender()
    rig.start()
    rig.wait(1.0, answers=True)
    assert rig.sent() == ids(1, 2)


def test_frames_have_the_age_limit_of_their_camera_also_on_disk(rig: Rig) -> None:
    rig.publish()
    rig.wait(AFTER_S + 0.5)
    rig.publish(2, expires_at=now_us() + 20_000)
    rig.publish()
    time.sleep(0.03)
    rig.wait(3.0, answers=True)
    assert (rig.drops.of("cam"), rig.sent()) == ({"stale": 2}, ids(0, 3))


def test_a_registry_that_is_away_sends_frames_to_disk(tmp_path: Path) -> None:
    class Registry:
        away = True
        asked = 0

        def id_for(self, *_: Any) -> int:
            self.asked += 1
            if self.away:
                raise Unavailable("the schema registry", "http://registry", "it is away")
            return 7

        def schema_for(self, _: int) -> dict[str, Any]:
            return {}

    registry = Registry()
    rig = Rig(tmp_path, registry=registry)
    rig.publish(5)
    assert (rig.queue.frames(), registry.asked) == (5, 1), "it is not asked for each frame"
    registry.away = False
    rig.wait(AFTER_S + 3.0, answers=True)
    assert [one.value[:5] for one in rig.sender.records if one.value] == [b"\0\0\0\0\7"] * 5


def test_what_is_not_acknowledged_at_the_end_is_there_at_the_next_start(rig: Rig) -> None:
    rig.publish(3)
    rig.sender.report(rig.sender.records[0])
    rig.spooler.close()
    rig.sender = MemorySender()
    rig.start()
    rig.wait(1.0, answers=True)
    assert rig.sent() == ids(1, 2)
