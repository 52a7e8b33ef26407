"""What a person wants to be replayed, as the options of `plan` and `start` say it. Pure: time is an argument."""

import re
import secrets
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from infra.kafka.spans import Period
from infra.process.times import RELATIVE, parse_duration_ms, parse_time
from ingest.replay.pacing import FULL_SPEED, Rate, parse_rate
from ingest.replay.parts import NOISE
from schemas.errors import ConfigError
from schemas.records import Micros, micros_to_iso

# No slash: `<id>/request` is the key of a request. The ids of the noise are those of their replay with .a and .b.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Wish:
    """The frames of [`from_at`, `to_at`) by record time, of sources that match `source_glob`, `sample` of them.

    `late_us`: how long after its time a frame can have been sent; None: as long as producers may.
    """

    from_at: Micros
    to_at: Micros
    source_glob: str | None = None
    sample: int | None = None
    rate: Rate = FULL_SPEED
    late_us: Micros | None = None

    @property
    def period(self) -> Period:
        return Period(self.from_at, self.to_at)


def parse_wish(
    from_: str,
    to: str,
    tz: str | None,
    now: Micros,
    source_glob: str | None,
    sample: int | None,
    rate: str | None,
    late: str | None = None,
) -> Wish:
    """Raises ConfigError for a range without a length, one that ends in the future, and for a time without a zone."""
    start, end = (_parse_zoned(text, name, tz, now) for text, name in ((from_, "--from"), (to, "--to")))
    if start >= end:
        raise ConfigError(f"--from {from_} is not before --to {to}: there is nothing between them")
    if end > now:
        raise ConfigError(
            f"--to {to} is in the future ({micros_to_iso(end)}): a replay has a fixed end, at the latest `now`"
        )
    late_us = None if late is None else parse_duration_ms(late, "--late") * 1000
    return Wish(start, end, source_glob, sample, parse_rate(rate), late_us)


def _parse_zoned(text: str, option: str, tz: str | None, now: Micros) -> Micros:
    """A time without a zone means a different hour to each reader, so it is refused unless `tz` says which."""
    if text == "now" or RELATIVE.match(text):
        return parse_time(text, now)
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return parse_time(text, now)  # raises with the sentence for it
    if parsed.tzinfo is not None:
        return parse_time(text, now)
    if tz is None:
        at = f"{text}T00:00" if _is_date(text) else text
        raise ConfigError(f"{option} {text} has no time zone: write {at}Z or {at}+02:00, or say --tz Europe/Berlin")
    try:
        zone = ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(f"--tz {tz} is no time zone: write a name such as UTC or Europe/Berlin") from None
    there = parsed.replace(tzinfo=zone)
    if there.utcoffset() != there.replace(fold=1).utcoffset():
        raise ConfigError(f"{option} {text} happens twice or never in {tz}: the clock changes there; write its offset")
    return parse_time(there.isoformat(), now)


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def parse_name(name: str | None, now: Micros) -> str:
    """The id of a new replay; without a name one of the time. Raises ConfigError."""
    if name is None:
        return f"replay-{micros_to_iso(now)[:19].replace('-', '').replace(':', '')}-{secrets.token_hex(2)}"
    if not _NAME.fullmatch(name):
        raise ConfigError(f"--name {name!r}: write up to 64 letters, digits, dots, dashes and underscores")
    if name.endswith(tuple(f".{part}" for part in NOISE)):
        raise ConfigError(f"--name {name}: names that end in .a or .b are those of the repeats that measure the noise")
    return name
