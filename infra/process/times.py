"""Times as people write them: ISO 8601, or relative to now like `-10m`."""

import re
import time
from datetime import UTC, datetime

from schemas.errors import ConfigError
from schemas.records import Micros

UNIT_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
RELATIVE = re.compile(r"^([+-]?\d+(?:\.\d+)?)(ms|s|m|h|d|w)$")


def now_us() -> Micros:
    """The wall clock in microseconds since 1970."""
    return time.time_ns() // 1000


def parse_time(text: str, now: Micros) -> Micros:
    """`now`, `-10m`, `2026-11-22T08:00:00Z`; a time without a zone is UTC. Raises ConfigError."""
    if text == "now":
        return now
    relative = RELATIVE.match(text)
    if relative:
        return now + int(float(relative[1]) * UNIT_S[relative[2]] * 1e6)
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{text!r} is no time: write ISO 8601 (2026-11-22T08:00:00Z) or relative to now (-10m)"
        ) from None
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1e6)
