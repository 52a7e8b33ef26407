"""The circuit breaker of a stage: it stops a stage in which nearly every frame fails. Pure.

When nearly every frame fails, the likely cause is the deployment and not the frames. The breaker judges the last N
frames, and only after N frames, so that a few bad frames at the start do not stop a stage.
"""

from collections import Counter, deque

from infra.settings import BreakerSettings

GOOD = ""


class Breaker:
    """Counts the outcomes of the last `window_frames` frames."""

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._last: deque[str] = deque(maxlen=settings.window_frames)
        self._counts: Counter[str] = Counter()

    def record(self, error_class: str = GOOD) -> None:
        """Record the outcome of one frame: GOOD, or the class of the error that it failed with, bad or transient."""
        if len(self._last) == self._last.maxlen:
            self._counts[self._last[0]] -= 1
        self._last.append(error_class)
        self._counts[error_class] += 1

    def verdict(self) -> str | None:
        """None while the stage may continue; otherwise the error message with which it must stop."""
        seen, failed = len(self._last), len(self._last) - self._counts[GOOD]
        if seen < self._settings.window_frames or failed / seen <= self._settings.max_bad_share:
            return None
        kinds = ", ".join(f"{count} {kind}" for kind, count in self._counts.most_common() if kind != GOOD and count > 0)
        return (
            f"{failed} of the last {seen} frames failed ({kinds}), more than breaker.max_bad_share = "
            f"{self._settings.max_bad_share:g}: this looks like a broken deployment and not like bad frames, "
            "so the stage stops instead of turning every frame into a dead letter"
        )
