"""Which offsets of the lane a replay occupies."""

from infra.kafka.sender import DeliveryReport
from ingest.replay.lane_ranges import MAX_RANGES, Session, lane_of, with_reports
from schemas.coordinates import TopicPartition
from schemas.replays import OffsetRange

LANE = "frames.replay"


def test_one_process_has_one_range_of_each_partition() -> None:
    session: Session = {}
    session = with_reports(
        session, [DeliveryReport(LANE, 0, 5), DeliveryReport(LANE, 1, 0), DeliveryReport(LANE, 0, 6)]
    )
    session = with_reports(session, [DeliveryReport(LANE, 0, 8)])
    assert session == {TopicPartition(LANE, 0): (5, 9), TopicPartition(LANE, 1): (0, 1)}


def test_each_process_adds_a_range_and_too_many_become_one() -> None:
    former = tuple(OffsetRange(LANE, 0, 10 * n, 10 * n + 5) for n in range(3))
    assert lane_of(former, {TopicPartition(LANE, 0): (40, 41)}) == (*former, OffsetRange(LANE, 0, 40, 41))
    many = tuple(OffsetRange(LANE, 0, 10 * n, 10 * n + 5) for n in range(50))
    found = lane_of(many, {})
    assert len(found) == MAX_RANGES
    assert (found[0].from_offset, found[0].to_offset, found[-1]) == (0, many[-MAX_RANGES].to_offset, many[-1])
