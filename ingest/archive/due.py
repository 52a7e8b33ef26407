"""When a continuous run archives the last, unfinished slice of a partition, and when it reads it at all. Pure."""

from dataclasses import dataclass

from infra.settings import ArchiveSettings
from ingest.archive.layout import HOUR_MS


@dataclass(frozen=True, slots=True)
class Tail:
    """The slice that was not due at the last look: its offsets, and what was read of it."""

    from_offset: int
    to_offset: int
    size_bytes: int
    hour: int
    least_ms: int


def is_due(hour: int, least_ms: int, now_ms: int, settings: ArchiveSettings) -> bool:
    """Its hour is over, or its first frame has waited long enough; a clock that is ahead cannot hold it up."""
    return (hour + 1) * HOUR_MS <= now_ms or now_ms - least_ms >= settings.max_delay_s * 1000


def worth_reading(tail: Tail | None, start: int, end: int, now_ms: int, settings: ArchiveSettings) -> bool:
    """Whether a slice may be due: nothing is known of the partition, or it is, or a file may be full by now."""
    if tail is None or tail.from_offset != start or tail.hour < 0:
        return True
    if is_due(tail.hour, tail.least_ms, now_ms, settings):
        return True
    guessed_bytes = tail.size_bytes * (end - start) / max(1, tail.to_offset - start)
    return guessed_bytes > settings.max_file_bytes
