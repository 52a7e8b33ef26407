"""How fast a replay copies: a rate of frames or bytes, or the pace at which they came. Pure: time is an argument."""

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from ingest.publish.token_bucket import TokenBucket
from schemas.errors import ConfigError

# A gap between two frames, such as a night, takes no longer than this of the original time.
MAX_GAP_S = 10.0
_RATE = re.compile(r"(\d+(?:\.\d+)?)(/s|MB/s|x)")


class Unit(StrEnum):
    FRAMES = "/s"
    MEGABYTES = "MB/s"
    TIMES = "x"


@dataclass(frozen=True, slots=True)
class Rate:
    """`value` frames a second, megabytes a second, or times the original pace; None: as fast as Kafka takes them."""

    value: float | None = None
    unit: Unit = Unit.FRAMES

    def __str__(self) -> str:
        """As `parse_rate` reads it, so without an exponent."""
        return "" if self.value is None else f"{Decimal(str(self.value)).normalize():f}{self.unit}"

    @property
    def is_original_pace(self) -> bool:
        return self.value is not None and self.unit is Unit.TIMES

    def seconds(self, frames: int, size_bytes: int, range_s: float) -> float | None:
        """How long so many frames take at this rate; None without a rate. Gaps that are cut short are not known."""
        if self.value is None:
            return None
        amount = {Unit.FRAMES: frames, Unit.MEGABYTES: size_bytes / 1e6, Unit.TIMES: range_s}[self.unit]
        return amount / self.value


FULL_SPEED = Rate()


def parse_rate(text: str | None) -> Rate:
    """`50/s`, `20MB/s` or `2x`. Raises ConfigError."""
    if text is None:
        return FULL_SPEED
    match = _RATE.fullmatch(text)
    if match is None or not 0 < float(match[1]) < math.inf:
        raise ConfigError(f"--rate {text!r}: write frames (50/s), megabytes (20MB/s), or times the original pace (2x)")
    return Rate(float(match[1]), Unit(match[2]))


class Pacer:
    """Says when the next frame may go. `now_s`: of the monotonic clock."""

    def __init__(self, rate: Rate, now_s: float) -> None:
        self._rate = rate
        self._bucket: TokenBucket | None = None
        if rate.value is not None and not rate.is_original_pace:
            self._bucket = TokenBucket(rate.value * (1e6 if rate.unit is Unit.MEGABYTES else 1), now_s)
        self._due_s = now_s
        self._last_ms: int | None = None

    def wait_s(self, now_s: float, record_ms: int, size_bytes: int) -> float:
        """0.0: the frame goes now, and counts; else how long to wait before asking again."""
        if self._bucket is not None:
            return self._bucket.wait_s(now_s, size_bytes if self._rate.unit is Unit.MEGABYTES else 1.0)
        if not self._rate.is_original_pace:
            return 0.0
        assert self._rate.value is not None
        # A frame that is older than the one before goes at once, and does not turn the time back.
        since_s = 0.0 if self._last_ms is None else max(0.0, (record_ms - self._last_ms) / 1000)
        due_s = self._due_s + min(since_s, MAX_GAP_S) / self._rate.value
        if now_s < due_s:
            return due_s - now_s
        # What could not be sent in time is not caught up in a burst of more than a second.
        self._due_s = max(due_s, now_s - 1.0)
        self._last_ms = record_ms if self._last_ms is None else max(self._last_ms, record_ms)
        return 0.0


def brake_s(worked_s: float, factor: float, longest_s: float = 1.0) -> float:
    """How long to rest after `worked_s` of work, so that only the share `factor` of the time is worked."""
    return longest_s if factor <= 0 else min(longest_s, worked_s * (1 / factor - 1))
