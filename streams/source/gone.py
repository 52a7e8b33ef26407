"""What stands for frames that were gone from their topic before the stage had read them. Pure."""

from infra.failures.outcomes import FRAMES_SKIPPED, FrameRecord
from infra.kafka.start_offsets import StartPoint
from schemas.coordinates import Coordinates, TopicPartition
from schemas.errors import BadFrame


def gone_frames(partition: TopicPartition, point: StartPoint) -> BadFrame:
    """The reason of the dead letter for the offsets `point.gone`."""
    gone = point.gone
    where = f"offsets {gone[0]} to {gone[-1]} of {partition}"
    if point.may_have_read:
        detail = (
            f"{where} are gone, and no committed offset tells whether the stream stage had read them: "
            "frames of theirs may have no outcome"
        )
    else:
        detail = (
            f"{len(gone)} offsets, {where}, were removed before the stream stage had read them: "
            "their frames have no outcome"
        )
    return BadFrame(FRAMES_SKIPPED, detail)


def gone_record(partition: TopicPartition, gone: range) -> FrameRecord:
    """It has the place of the last of them, because nothing is committed past it without an outcome."""
    return FrameRecord(Coordinates(*partition, gone[-1]), 0, str(partition.partition).encode(), None, None)
