"""The states of a feed, and how the reading of its source ended."""

from dataclasses import dataclass
from enum import StrEnum


class FeedState(StrEnum):
    STARTING = "starting"
    UP = "up"
    FAILING = "failing"
    FROZEN = "frozen"
    DOWN = "down"
    OFF = "off"
    ENDED = "ended"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """How the reading of a source ended. `reason` is a label of the reconnect metric, `why` a sentence.

    `wait_s`: how long the camera asked to be left alone.
    """

    reason: str
    why: str = ""
    wait_s: float = 0.0


ENDED = SessionEnd("ended")
STOPPED = SessionEnd("stopped")
# It is outside its hours.
OFF = SessionEnd("off")
# It is opened again at once, in a process of its own.
MOVED = SessionEnd("moved")
