"""How soon frames flow again after a fault, seen from a subscriber: every source has a new outcome."""

import time
from dataclasses import dataclass

from tests.faults.outcomes import Watcher
from tests.faults.sender import FrameSender


@dataclass(frozen=True, slots=True)
class Moment:
    """A time, and how many frames were acknowledged before it."""

    at_s: float
    acknowledged: int

    @staticmethod
    def now(sender: FrameSender | None) -> "Moment":
        return Moment(time.monotonic(), len(sender.log) if sender else 0)


def flowing_after(since: Moment, sender: FrameSender | None, watcher: Watcher) -> float | None:
    """When every source had an outcome of a frame that was sent after that moment; None while one has none."""
    if sender is None:
        return None
    first: dict[str, float] = {}
    for place, sent in sender.log[since.acknowledged :]:
        arrived_s = watcher.arrived_s.get(place)
        if sent.sent_s >= since.at_s and arrived_s is not None:
            first.setdefault(sent.source_id, arrived_s)
            if len(first) == sender.traffic.sources:
                return max(first.values())
    return None
