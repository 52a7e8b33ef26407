"""Where the stage goes on in a partition that it starts to read, or whose next offset the log does not hold. Pure."""

from dataclasses import dataclass

from infra.failures.outcomes import FRAMES_SKIPPED
from infra.kafka.start_offsets import StartPoint
from schemas.coordinates import TopicPartition
from schemas.errors import BadFrame


@dataclass(frozen=True, slots=True)
class Jump:
    """Reading of a partition goes on at `offset`.

    `gone`: offsets before it that the log does not hold any more; whether they were read is not known where they
    `may_have_been_read`. `restarts`: the log is another one or was cut, so its offsets come once more, and frames that
    were read before count no more.
    """

    offset: int
    gone: range = range(0)
    may_have_been_read: bool = False
    restarts: bool = False

    @property
    def skipped_frames(self) -> int:
        """How many offsets are known to be passed over."""
        return 0 if self.may_have_been_read else len(self.gone)

    def outcome(self, partition: TopicPartition) -> BadFrame:
        """The reason of the dead letter that stands for what is gone."""
        where = f"offsets {self.gone[0]} to {self.gone[-1]} of {partition}"
        if self.may_have_been_read:
            return BadFrame(
                FRAMES_SKIPPED,
                f"{where} are gone, and no committed offset tells whether the stream stage had read them: "
                "frames of theirs may have no outcome",
            )
        return BadFrame(
            FRAMES_SKIPPED,
            f"{len(self.gone)} offsets, {where}, were removed before the stream stage had read them: "
            "their frames have no outcome",
        )


def jump_of(point: StartPoint, position: int | None) -> Jump:
    """From where the group goes on by its committed offset, and the next offset that this member wanted.

    `position` is None where a member begins with a partition. Else the log does not hold it: everything before it was
    read by this member, also where that is not committed yet.
    """
    if position is None:
        return Jump(point.offset, point.gone, point.may_have_read)
    if position > point.offset:
        return Jump(point.offset, point.gone, point.may_have_read, restarts=True)
    return Jump(point.offset, range(max(position, point.gone.start), max(position, point.gone.stop)))
