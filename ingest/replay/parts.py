"""The parts of a replay: the frames that are wanted, and a few of them twice more for the noise. Pure.

Two runs of one model differ a little. How much is measured with copies that go through the lane without the cache, as
the replays `<id>.a` and `<id>.b`.
"""

from dataclasses import dataclass

from infra.kafka.spans import Period
from ingest.replay.selection import ALL, Selection
from schemas.replays import ReplayProgress

MAIN = "main"
NOISE = ("a", "b")


@dataclass(frozen=True, slots=True)
class Part:
    """`replay_id`: what its copies are marked with."""

    name: str
    replay_id: str
    selection: Selection

    @property
    def is_noise(self) -> bool:
        return self.name != MAIN


def part_of(progress: ReplayProgress) -> Part:
    """The part that is being copied."""
    is_noise = progress.part != MAIN
    replay_id = f"{progress.replay_id}.{progress.part}" if is_noise else progress.replay_id
    below = progress.noise_below if is_noise else progress.sample_below
    period = Period(progress.from_at, progress.to_at)
    return Part(progress.part, replay_id, Selection(period, progress.source_glob, below))


def name_behind(progress: ReplayProgress) -> str | None:
    """The part that follows the present one, which is done; None at the end."""
    if progress.part == MAIN:
        return NOISE[0] if progress.noise and progress.copied else None
    return NOISE[1] if progress.part == NOISE[0] else None


def noise_bound(progress: ReplayProgress) -> int:
    """The bound that takes about `noise` of the frames of the main part, which is done; the same ones for both runs."""
    below = ALL if progress.sample_below is None else progress.sample_below
    return below if progress.noise >= progress.copied else below * progress.noise // progress.copied
