"""The progress of a replay while one looks: a bar with the time that is left on a terminal, plain lines elsewhere."""

import time

from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeRemainingColumn

from infra.process.progress import ProgressDisplay
from infra.process.text import printable
from ingest.replay.text import mb
from schemas.replays import ReplayProgress

SHOW_EVERY_S, LINE_EVERY_S = 0.2, 5.0


class Screen(ProgressDisplay):
    """Use as a context manager; everything goes to stderr, because stdout holds the result."""

    def __init__(self) -> None:
        super().__init__(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} % {task.fields[more]}", markup=False),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            line_every_s=LINE_EVERY_S,
        )
        self._shown_s = 0.0

    def show(self, progress: ReplayProgress, labelled: int | None = None) -> None:
        """Called very often. `labelled`: frames with an outcome, where those are waited for."""
        now_s = time.monotonic()
        if now_s - self._shown_s < SHOW_EVERY_S and not progress.state.is_final:
            return
        self._shown_s = now_s
        done, total = done_of(progress) if labelled is None else (labelled, progress.copied)
        what = f"{progress.replay_id} {progress.state if labelled is None else 'labels'}"
        more = f"{done:,} of {total:,} frames, {mb(progress.copied_bytes)} {printable(progress.reason or '')}".rstrip()
        self.update(what, more, done, max(1, total))


def done_of(progress: ReplayProgress) -> tuple[int, int]:
    """Frames copied, and how many there are; of an estimate that was too low, what was copied. Pure."""
    noise = 2 * min(progress.noise, progress.plan.frames)
    done = progress.copied + progress.noise_copied
    is_done = progress.state.is_final
    return done, done if is_done else max(progress.plan.frames + noise, done)
