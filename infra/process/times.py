"""Times as people write them on the command line: ISO 8601, or relative to now, such as `-10m`."""

import re
import time
from datetime import UTC, datetime

from schemas.errors import ConfigError
from schemas.records import Micros

UNIT_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
RELATIVE = re.compile(r"^([+-]?\d+(?:\.\d+)?)(ms|s|m|h|d|w)$")


def now_us() -> Micros:
    """The wall clock in microseconds since 1970, UTC."""
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
            f"{text!r} is not a time: write ISO 8601 (2026-11-22T08:00:00Z) or relative to now (-10m)"
        ) from None
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1e6)


def parse_time_range(from_: str | None, to: str | None, now: Micros) -> tuple[Micros | None, Micros | None]:
    """The values of `--from` and `--to`; None where one is not given. Raises ConfigError when the range is reversed."""
    start, end = (parse_time(text, now) if text else None for text in (from_, to))
    if start is not None and end is not None and start > end:
        raise ConfigError(f"--from {from_} is later than --to {to}")
    return start, end


def parse_duration_ms(text: str, what: str) -> int:
    """`30s`, `15m`, `30d`. Raises ConfigError, which begins with `what`."""
    number, unit = text.rstrip("mshdw"), text.lstrip("0123456789.")
    try:
        found = float(number) * UNIT_S[unit]
    except (ValueError, KeyError):
        found = -1.0
    if not 0 <= found < 1e10:
        raise ConfigError(f"{what}: {text!r} is not a duration: write 30s, 15m, 12h or 30d")
    return int(found * 1000)
