"""What a day says of each camera, and whether it is what was promised. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from streams.bench.measure import percentile
from tests.faults.day_cameras import Away, DayCamera

# In a slot in which its camera can be up, a frame comes.
SLOT_S = 5.0
# From the start, and after an outage: connections are opened again with back-off, of 5 s at most here.
START_S, BACK_S = 20.0, 20.0
MIN_UP_SHARE = 0.95
MIN_FRAMES_SHARE = 0.9  # of a good camera
MAX_P95_S = 2.0


@dataclass(frozen=True, slots=True)
class Seen:
    """The frames of one camera: when each was received, in s since the start; of each label, s from there to it."""

    received_s: Sequence[float]
    labelled_after_s: Sequence[float]
    dead: int
    reconnects: int


@dataclass(frozen=True, slots=True)
class Row:
    camera: DayCamera
    seen: Seen
    length_s: float

    @property
    def up_share(self) -> float:
        """Of the slots in which the camera can be up, those with a frame."""
        slot_s = max(SLOT_S, 2 / self.camera.fps)
        slots = [n for n in range(int(self.length_s / slot_s)) if _can_be_up(self.camera.away, n * slot_s, slot_s)]
        with_frames = {int(one / slot_s) for one in self.seen.received_s}
        return len(with_frames & set(slots)) / len(slots) if slots else math.nan

    @property
    def p95_s(self) -> float:
        return percentile(self.seen.labelled_after_s, 0.95) if self.seen.labelled_after_s else math.nan

    @property
    def faults(self) -> list[str]:
        """The promises that were broken."""
        checks = {
            f"up {self.up_share:.0%} of the time": self.up_share >= MIN_UP_SHARE,
            f"p95 is {self.p95_s:.1f} s": self.p95_s <= MAX_P95_S or self.camera.is_hard,
            f"{self.seen.dead} dead letters": not self.seen.dead or self.camera.is_hard,
        }
        if self.camera.is_good:
            share = len(self.seen.received_s) / (self.camera.fps * (self.length_s - START_S))
            checks[f"{share:.0%} of its frames"] = share >= MIN_FRAMES_SHARE
            checks[f"{self.seen.reconnects} reconnects"] = not self.seen.reconnects
        return [f"{self.camera.id}: {what}" for what, is_kept in checks.items() if not is_kept]


def table(rows: Sequence[Row]) -> str:
    head = "| camera | what is wrong with it | frames | up while it can be | p95 to label | dead letters | reconnects |"
    lines = [head, "|---|---|--:|--:|--:|--:|--:|"]
    for row in rows:
        seen = row.seen
        up, p95 = f"{row.up_share:.0%}", f"{row.p95_s:.2f} s"
        cells = (row.camera.id, row.camera.what, len(seen.received_s), up, p95, seen.dead, seen.reconnects)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _can_be_up(away: Away | None, from_s: float, length_s: float) -> bool:
    """Whether the camera is there in the whole slot, and was BACK_S before."""
    if from_s < START_S:
        return False
    step_s, at_s = 1.0, from_s - BACK_S
    while away is not None and at_s <= from_s + length_s:
        if away.is_away(max(0.0, at_s)):
            return False
        at_s += step_s
    return True
