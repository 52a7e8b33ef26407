"""Which records tell what became of a batch."""

from collections.abc import Iterable
from dataclasses import replace
from unittest.mock import Mock

from inference.device.work import FrameFailure, LabelledFrame, Work
from inference.worker.labels_out import LabelsOut
from infra.kafka.records import ConsumedRecord
from infra.kafka.topics import TopicNames
from infra.settings import RetrySettings
from schemas import codec
from schemas.cache_headers import NO_CACHE, may_be_cached
from schemas.clocks import batch_clocks, read_clock
from schemas.coordinates import Coordinates, TopicPartition
from schemas.errors import BadFrame, ModelError
from schemas.headers import (
    ATTEMPT,
    REPLAY_ID,
    Header,
    attempt_of,
    read_failure,
    replay_id_of,
    replay_of,
    traceparent_of,
)
from schemas.records import Decision, Label, ModelRef, Origin, Prediction
from tests.support.batches import QUALITY, batch_record, frame, micro_batch

NAMES = TopicNames.for_lane("")
TRACE = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
OWN_TRACE = ("traceparent", b"00-11111111111111111111111111111111-b7ad6b7169203331-01")


class Frames:
    """The source topic; offset 12 was deleted by retention."""

    def fetch(self, partition: TopicPartition, offsets: Iterable[int]) -> dict[int, ConsumedRecord]:
        return {
            offset: ConsumedRecord(*partition, offset, 1_700, b"cam-3", b"frame", [OWN_TRACE])
            for offset in offsets
            if offset != 12
        }


BATCHES = TopicPartition("frames.batches", 3)


def work(attempt: int = 0, *headers: Header) -> Work:
    batch = micro_batch("frames.raw", 3, [10, 11, 12])
    record = batch_record(BATCHES, 7, None, *headers, (ATTEMPT, str(attempt).encode()))
    return Work(record, 1, items=batch.items, source_topic="frames.raw", source_partition=3)


def label(of: Work, index: int, decision: Decision) -> LabelledFrame:
    item = of.items[index]
    model, predictions = ModelRef("null", "1", "none"), (Prediction("1", "one", 0.9),)
    return LabelledFrame(
        Label(
            item.frame_id, item.source_id, 1, 2, decision, None, predictions, Origin.MODEL, model, QUALITY,
            of.source_of(index),
        )
    )  # fmt: skip


def out(of: Work, with_review: bool = True) -> LabelsOut:
    return LabelsOut(NAMES, RetrySettings(), Frames(), with_review=with_review)


def test_labels_by_source_and_the_review_subset_again() -> None:
    given = work(0, TRACE, ("sightline-replay-id", b"r1"))
    decisions = [Decision.ACCEPTED, Decision.REVIEW, Decision.ACCEPTED]
    given.outcomes = {index: label(given, index, decision) for index, decision in enumerate(decisions)}
    records = out(given).records(given)
    assert [record.topic for record in records] == ["labels", "labels", "labels.review", "labels"]
    assert {record.key for record in records} == {"cam-3"}
    assert records[0].headers == [TRACE, ("sightline-replay-id", b"r1")]
    assert codec.decode(Label, records[1].value) == codec.decode(Label, records[2].value)
    assert [record.topic for record in out(given, with_review=False).records(given)] == ["labels"] * 3


def test_each_label_tells_the_time_of_its_frames_record_where_the_batch_does() -> None:
    given = work(0, TRACE, *batch_clocks([None, 5_000, None]))
    given.outcomes = {index: label(given, index, Decision.REVIEW) for index in range(3)}
    records = out(given).records(given)
    assert [(record.topic, read_clock(record.headers)) for record in records] == [
        (topic, clock) for clock in (None, 5_000, None) for topic in ("labels", "labels.review")
    ]
    given.outcomes[1] = FrameFailure(ModelError("on purpose"))
    failure = out(given).records(given)[2]
    assert (failure.topic, read_clock(failure.headers)) == ("frames.retry", 5_000)


def test_failed_frames_go_to_the_retry_lane_as_they_were_and_back_again_until_they_are_dead() -> None:
    for attempt, topic, counted in [(0, "frames.retry", 1), (2, "frames.retry", 3), (3, "frames.dead", 3)]:
        given = work(attempt, ("sightline-replay-id", b"r1"))
        given.outcomes = {index: label(given, index, Decision.ACCEPTED) for index in (0, 2)}
        given.outcomes[1] = FrameFailure(ModelError("on purpose"))
        labels, failure = out(given).records(given)[::2], out(given).records(given)[1]
        assert [record.topic for record in labels] == ["labels", "labels"]
        assert (failure.topic, failure.key, failure.value) == (topic, b"cam-3", b"frame")
        assert attempt_of(failure.headers) == counted
        assert replay_id_of(failure.headers) == "r1"
        assert traceparent_of(failure.headers) == OWN_TRACE[1].decode()
        told = read_failure(failure.headers)
        assert told is not None
        assert told.source == Coordinates("frames.raw", 3, 11)
        assert (told.stage, told.error_class, told.message, told.timestamp_ms) == (
            "infer", "ModelError", "on purpose", 1_700,
        )  # fmt: skip


def test_the_bytes_of_another_frame_are_never_sent_for_those_of_a_failed_one() -> None:
    """`frames.raw` was deleted and made again: it has other frames at the same offsets."""
    given = work()
    given.outcomes = {index: label(given, index, Decision.ACCEPTED) for index in (0, 2)}
    given.outcomes[1] = FrameFailure(ModelError("on purpose"))
    maker = out(given)
    for frame_id, topic, error_class in (
        (given.items[1].frame_id, "frames.retry", "ModelError"),
        ("cam-3/2/11", "frames.dead", "frame_gone"),
    ):
        value = codec.encode(replace(frame("cam-3", 11), frame_id=frame_id))
        found = ConsumedRecord("frames.raw", 3, 11, 1_700, b"cam-3", value, None)
        maker._frames = Mock(fetch=Mock(return_value={11: found}))
        failure = maker.records(given)[1]
        told = read_failure(failure.headers)
        assert told is not None
        assert (failure.topic, told.error_class) == (topic, error_class)
        assert failure.value == (value if topic == "frames.retry" else None)


def test_a_bad_frame_is_dead_at_once() -> None:
    given = work()
    given.outcomes = {index: label(given, index, Decision.ACCEPTED) for index in (0, 2)}
    given.outcomes[1] = FrameFailure(BadFrame("out_of_bounds", "bytes 9..10 of 5"))
    failure = out(given).records(given)[1]
    told = read_failure(failure.headers)
    assert failure.topic == "frames.dead"
    assert told is not None
    assert (told.error_class, told.message) == ("out_of_bounds", "bytes 9..10 of 5")


def test_what_no_record_can_hold_is_dead_at_once_and_without_its_bytes() -> None:
    """Else the worker would end over it in each of its lives."""
    small = LabelsOut(NAMES, RetrySettings(), Frames(), with_review=True, max_record_bytes=10)
    given = work()
    given.outcomes = {index: label(given, index, Decision.ACCEPTED) for index in (0, 2)}
    given.outcomes[1] = FrameFailure(ModelError("on purpose"))
    bad = Work(batch_record(BATCHES, 7, b"<html>"), 1, bad=BadFrame("not_avro", "starts with 3c"))
    for failure, error_class in ((small.records(given)[1], "ModelError"), (small.records(bad)[0], "not_avro")):
        told = read_failure(failure.headers)
        assert (failure.topic, failure.value) == ("frames.dead", None)
        assert told is not None
        assert told.error_class == error_class
        assert "bytes left out" in told.message


def test_a_frame_that_retention_took_still_leaves_a_trace() -> None:
    given = work(0, *batch_clocks([None, None, 5_000]))
    given.outcomes = {index: label(given, index, Decision.ACCEPTED) for index in (0, 1)}
    given.outcomes[2] = FrameFailure(ModelError("on purpose"))
    failure = out(given).records(given)[2]
    told = read_failure(failure.headers)
    assert (failure.topic, failure.value) == ("frames.dead", None)
    assert told is not None
    assert told.source == Coordinates("frames.raw", 3, 12)
    assert (told.error_class, told.timestamp_ms) == ("frame_gone", 5_000)
    assert "ModelError: on purpose" in told.message


def test_a_frame_at_no_place_is_dead_by_the_place_of_its_batch() -> None:
    given = work()
    second = replace(given.items[1], offset=-2)
    given.items = (given.items[0], second, given.items[2])
    given.outcomes = {index: label(given, index, Decision.ACCEPTED) for index in (0, 2)}
    given.outcomes[1] = FrameFailure(BadFrame("bad_fields", "the offset of a frame is -2"))
    failure = out(given).records(given)[1]
    told = read_failure(failure.headers)
    assert (failure.topic, failure.key) == ("frames.dead", "cam-3")
    assert told is not None
    assert (told.source, told.error_class) == (Coordinates("frames.batches", 3, 7), "bad_fields")


def test_a_replay_id_that_no_label_can_hold_does_not_travel_on_with_the_frame() -> None:
    """Else the frame would be refused for it again after each redrive."""
    given = work(0, TRACE, (REPLAY_ID, b"r" * 1025))
    given.outcomes = {index: FrameFailure(BadFrame("bad_fields", "replay id")) for index in range(3)}
    assert [replay_id_of(record.headers) for record in out(given).records(given)] == [None] * 3


def test_bytes_that_are_no_batch_are_dead_by_their_own_coordinates() -> None:
    given = Work(batch_record(BATCHES, 7, b"<html>", TRACE), 1, bad=BadFrame("not_avro", "starts with 3c"))
    (record,) = out(given).records(given)
    told = read_failure(record.headers)
    assert (record.topic, record.key, record.value) == ("frames.dead", b"3", b"<html>")
    assert told is not None
    assert told.source == Coordinates("frames.batches", 3, 7)
    assert (told.stage, told.error_class, told.timestamp_ms) == ("infer", "not_avro", 99)


def test_a_frame_of_the_replay_lane_that_is_gone_still_says_which_frame_it_repeated() -> None:
    given = work()
    place = Coordinates("frames.raw", 1, 5)
    given.items = tuple(replace(item, replay_of=place) for item in given.items)
    given.outcomes = {index: FrameFailure(ModelError("no")) for index in range(3)}
    gone = out(given).records(given)[2]
    assert (gone.topic, replay_of(gone.headers)) == ("frames.dead", place)


def test_a_frame_that_is_not_to_be_cached_stays_so_also_when_it_cannot_be_read_again() -> None:
    given = work(0, ("sightline-replay-id", b"r1"), NO_CACHE)
    given.outcomes = {index: FrameFailure(ModelError("on purpose")) for index in range(3)}
    records = out(given).records(given)
    assert [record.topic for record in records] == ["frames.retry", "frames.retry", "frames.dead"]
    for record in records:
        assert not may_be_cached(record.headers)
        assert replay_id_of(record.headers) == "r1"
