"""Deferred frames in the consumer of the retry topic: they wait in the stage, and hold no other retry up."""

from collections.abc import Callable
from dataclasses import replace

from infra.failures.outcomes import FrameRecord, deferred
from infra.kafka.records import ConsumedRecord
from infra.kafka.topics import TopicNames
from schemas.coordinates import Coordinates
from tests.support.retry_run import P0, FakeConsumer, Run, record


def deferred_record(offset: int, origin: int) -> ConsumedRecord:
    topics = TopicNames.for_lane("")
    frame = FrameRecord(Coordinates(topics.frames, 3, origin), 42, b"cam", b"frame", ())
    sent = deferred(topics, frame, "stream", lambda _: None)
    assert sent.value is None
    return replace(record(0, offset, 0, sent.headers), value=None)


def test_a_deferred_frame_is_handed_over_at_once_and_holds_no_retry_up(consumer: FakeConsumer) -> None:
    consumer.script += [deferred_record(offset, 100 + offset) for offset in range(3)] + [record(0, 3, 3600), None]
    run = Run(consumer, max_held_frames=1)
    consumer.script += [run.finish_deferred, None]
    run.until_over()
    assert run.errors == []
    assert [one.record.source.offset for one in run.stage.deferred] == [100, 101, 102]
    assert [(one.record.value, one.record.attempt) for one in run.stage.deferred] == [(None, 0)] * 3
    assert run.offsets() == [3], "a frame that failed is tried again meanwhile"
    assert consumer.commits == [(P0, 1)], "not past a deferred one that waits"


def test_a_deferred_frame_of_a_partition_that_went_is_not_wanted_any_more(consumer: FakeConsumer) -> None:
    run = Run(consumer)
    wanted: list[bool] = []
    look: Callable[[], None] = lambda: wanted.append(run.stage.deferred[0].is_current())  # noqa: E731
    consumer.script += [deferred_record(0, 100), look, lambda: consumer.lose(P0), look]
    assert run.until_over().errors == []
    assert wanted == [True, False]


def test_the_commit_of_the_retry_topic_does_not_wait_for_a_deferred_frame_for_ever(consumer: FakeConsumer) -> None:
    consumer.script += [deferred_record(0, 100), *[record(0, offset, 3600) for offset in range(1, 9)], None]
    run = Run(consumer).until_over()
    assert run.errors == []
    assert set(run.stage.sent_back) == {Coordinates("frames.raw", 3, 100)}, "it is written anew, behind the others"
