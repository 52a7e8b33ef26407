"""The copies of frames that have no outcome."""

import pytest

from infra.audit.ledger import Ledger
from infra.kafka.records import ConsumedRecord
from infra.kafka.spans import Span
from infra.kafka.topics import TopicNames
from infra.process.lifecycle import Stop
from ingest.redrive.missing import out_record
from ingest.redrive.send import Copy, send_copies
from ingest.redrive.under_way import _batched, _retried
from schemas import codec
from schemas.coordinates import Coordinates, TopicPartition
from schemas.errors import UnknownVersion
from schemas.headers import Failure, attempt_of, failure_headers, read_failure, traceparent_of
from tests.support.batches import batch_record, micro_batch
from tests.support.memory_sender import MemorySender

NAMES = TopicNames.for_lane("")
TRACE = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
FRAME = ConsumedRecord(NAMES.frames, 3, 17, 1_700, b"cam-3", b"a frame", [TRACE])
BATCHES = TopicPartition(NAMES.batches, 3)


def test_a_copy_is_the_frame_with_its_own_place_as_origin() -> None:
    copy = out_record(NAMES, FRAME, 1_000_000)
    assert (copy.topic, copy.key, copy.value) == (NAMES.retry, b"cam-3", b"a frame")
    assert (attempt_of(copy.headers), traceparent_of(copy.headers)) == (1, TRACE[1].decode())
    failure = read_failure(copy.headers)
    assert failure is not None
    assert (failure.source, failure.timestamp_ms) == (Coordinates(NAMES.frames, 3, 17), 1_700)
    assert (failure.stage, failure.error_class) == ("redrive", "no_outcome")


def test_a_frame_that_fits_into_no_copy_is_a_dead_letter() -> None:
    letter = out_record(NAMES, FRAME, 10)
    failure = read_failure(letter.headers)
    assert (letter.topic, letter.value) == (NAMES.dead, None)
    assert failure is not None
    assert (failure.source, failure.error_class) == (Coordinates(NAMES.frames, 3, 17), "too_large")


def test_copies_without_a_mark_count_once_the_broker_has_them() -> None:
    sender = MemorySender()
    result = send_copies(sender, (Copy(out_record(NAMES, FRAME, 1_000_000)) for _ in range(3)), 1_000.0, Stop())
    assert (result.redriven, result.failed, result.stopped) == (3, 0, False)
    assert [record.topic for record in sender.records] == [NAMES.retry] * 3


def test_the_frames_that_wait_on_a_topic_are_known_by_its_records() -> None:
    value = codec.encode(micro_batch(NAMES.frames, 3, [10, 11]))
    frames = [Coordinates(NAMES.frames, 3, offset) for offset in (10, 11)]
    assert _batched(batch_record(BATCHES, 7, value), None) == frames
    assert _batched(batch_record(BATCHES, 7, value[:-9]), None) == frames, "the worker knows them, too"
    assert _batched(batch_record(BATCHES, 7, b"<html>"), None) == []
    with pytest.raises(UnknownVersion):
        _batched(batch_record(BATCHES, 7, b"\xc3\x01" + bytes(20)), None)
    retried = failure_headers(None, Failure(frames[0], 1, "infer", "x", "", 1))
    assert _retried(batch_record(BATCHES, 7, b"x", *retried)) == frames[:1]
    assert _retried(batch_record(BATCHES, 7, b"written by hand")) == []


def test_a_range_to_read_may_hold_frames_that_are_not_missing() -> None:
    ledger = Ledger([Span(NAMES.frames, 3, 0, 3)])
    for offset in range(3):
        ledger.frame_found(TopicPartition(NAMES.frames, 3), offset, 1)
    ledger.label(Coordinates(NAMES.frames, 3, 1))
    assert ledger.missing_ranges() == [Span(NAMES.frames, 3, 0, 3)]
    assert not ledger.is_missing(Coordinates(NAMES.frames, 3, 1))
