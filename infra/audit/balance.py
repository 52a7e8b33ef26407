"""The result of an audit. Pure."""

from dataclasses import dataclass

from schemas.coordinates import Coordinates

MAX_MISSING_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Balance:
    """What became of the frames of a range. `missing` holds at most 100 coordinates; `missing_count` counts all.

    `expired`: further frames that retention removed before they had an outcome. `corrections`: labels that were
    promoted from replays; they are no outcomes of the pipeline and no duplicates. `complete` is False when the audit
    was stopped before it had read every outcome.
    """

    frames: int
    labels: int
    dead: int
    duplicates: int
    missing: list[Coordinates]
    missing_count: int
    expired: int = 0
    corrections: int = 0
    complete: bool = True

    @property
    def ok(self) -> bool:
        """Whether every frame has an outcome. Duplicate outcomes are allowed, because delivery is at least once."""
        return self.complete and self.missing_count == 0 and self.expired == 0
