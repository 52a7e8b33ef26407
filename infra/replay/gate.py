"""`--fail-if-changed 2%`: whether a replay changed more than that beyond noise. Pure."""

import re

from infra.replay.result import Diff
from schemas.errors import ConfigError, SightlineError

# The exit code of a replay that changed more than the limit.
EXIT_CHANGED = 4
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%")


def parse_limit(text: str) -> float:
    """`2%` as 0.02. Raises ConfigError for anything but a percentage from 0 to 100: a bare 2 could be two frames."""
    match = _PERCENT.fullmatch(text.strip())
    share = float(match[1]) / 100 if match else 2.0
    if share > 1:
        raise ConfigError(f"--fail-if-changed {text!r} is no percentage: write it like 2%")
    return share


def exceeds(found: Diff, limit: float) -> bool:
    """Whether the share of frames that changed beyond noise is above the limit, as it was measured.

    The interval around it says how sure that is; more frames (--sample) and more noise frames make it narrower.
    Raises SightlineError where that cannot be said yet: frames without an outcome could be those that changed.
    """
    if found.unanswered:
        raise SightlineError(
            f"the gate cannot say yet whether too much changed: {found.unanswered:,} frames of replay "
            f"{found.replay_id} have no outcome"
        )
    if not found.frames:
        raise SightlineError(
            f"the gate has nothing to compare: no frame of replay {found.replay_id} has an outcome on both sides"
        )
    return found.share_beyond_noise > limit


def sentence(found: Diff, limit: float) -> str:
    """The verdict for people."""
    low, high = found.interval
    text = (
        f"{found.share_beyond_noise:.2%} of {found.frames:,} frames changed beyond noise "
        f"(95 %: {max(0.0, low):.2%} to {max(0.0, high):.2%}), the limit is {limit:.2%}"
    )
    if lone := found.replay.lone + found.replay.lone_dead:
        text += f"; {lone:,} frames have no live outcome and were not compared"
    return f"too much changed: {text}" if exceeds(found, limit) else f"within the limit: {text}"
