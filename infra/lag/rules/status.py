"""The words for the state of a consumer group and of one partition of it: Burrow's, with Burrow's numbers."""

from collections.abc import Sequence
from enum import IntEnum


class LagStatus(IntEnum):
    """From core/protocol/evaluator.go of Burrow 1.9.5. The numbers are the values of its Prometheus gauges.

    Burrow uses ERR for groups alone and STOP, STALL and REWIND for partitions alone. Our evaluator uses ERR for
    partitions too: for records that are lost, and for a lag above the group's threshold.
    """

    NOTFOUND = 0
    OK = 1
    WARN = 2
    ERR = 3
    STOP = 4
    STALL = 5
    REWIND = 6

    def __str__(self) -> str:
        return self.name


def group_status(partitions: Sequence[LagStatus]) -> LagStatus:
    """The state of a group: that of its worst partition, where everything worse than ERR counts as ERR."""
    return min(max(partitions, default=LagStatus.OK), LagStatus.ERR)
