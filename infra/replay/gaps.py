"""What replays could not read any more: offsets that are neither on the lane nor labelled there. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from schemas.records import Micros
from schemas.replays import ReplayGap, ReplayProgress


@dataclass(frozen=True, slots=True)
class MissedByReplay:
    """A gap of one replay."""

    replay_id: str
    gap: ReplayGap

    def as_json(self) -> dict[str, Any]:
        """An entry of `gaps` in `audit --json`. Its keys are a contract, those of a replay's plan."""
        gap = self.gap
        return {
            "replay_id": self.replay_id,
            "topic": gap.topic,
            "partition": gap.partition,
            "from": gap.from_offset,
            "to": gap.to_offset,
            "reason": gap.reason,
        }

    def __str__(self) -> str:
        gap, last = self.gap, self.gap.to_offset - 1
        offsets = f"offset {last}" if gap.from_offset == last else f"offsets {gap.from_offset} to {last}"
        return f"replay {self.replay_id} has not {gap.topic}/{gap.partition} {offsets}: {gap.reason}"


def missed(
    replays: Iterable[ReplayProgress], from_us: Micros | None = None, to_us: Micros | None = None
) -> list[MissedByReplay]:
    """The gaps of the replays that copied in that time, the oldest replay first; None: no limit."""
    within = [
        one
        for one in replays
        if (from_us is None or one.updated_at >= from_us) and (to_us is None or one.started_at < to_us)
    ]
    within.sort(key=lambda one: (one.started_at, one.replay_id))
    return [MissedByReplay(one.replay_id, gap) for one in within for gap in one.all_gaps]
