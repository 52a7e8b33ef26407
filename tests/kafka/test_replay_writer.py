"""What is added to the lane's writer is written with the next progress, once, and not at all where it is discarded."""

from dataclasses import replace

import pytest

from infra.kafka.reader import Reader
from infra.kafka.sender import OutRecord
from infra.kafka.topics import TopicNames
from infra.process.lifecycle import Stop
from ingest.replay.lane_writer import LaneWriter
from schemas.replays import ReplayPlan, ReplayProgress, ReplayState
from tests.support.deployment import Deployment

pytestmark = pytest.mark.kafka

PROGRESS = ReplayProgress(
    "again", ReplayState.STARTED, "frames.raw", 0, 1, 1, 1, "here/1", ReplayPlan(5, 5, True, (), ())
)


@pytest.mark.parametrize("ends_first", [True, False])
def test_discarded_frames_are_in_no_transaction(deployment: Deployment, ends_first: bool) -> None:
    """Also where the transaction before them still ends, and they wait for that."""
    lane = TopicNames.for_lane(deployment.prefix, "replay").frames
    writer = LaneWriter(deployment.settings(), "again", Stop())

    def add(*values: bytes) -> None:
        for value in values:
            writer.add(OutRecord(lane, b"dock-1", value, partition=0))

    add(b"1", b"2")
    writer.commit(replace(PROGRESS, copied=2))
    if ends_first:
        writer.wait()
    add(b"lost", b"lost too")
    writer.discard()
    writer.wait()
    assert writer.committed is not None
    assert writer.committed.copied == 2
    add(b"3", b"4")
    writer.commit(replace(PROGRESS, copied=4))
    writer.wait()
    with Reader(deployment.settings()) as reader:
        assert [record.value for record in reader.read(reader.spans(lane))] == [b"1", b"2", b"3", b"4"]
