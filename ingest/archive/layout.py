"""The names of folders and files of an archive. Pure.

    URL/archive.json                                            what is archived here, and by whom
    URL/frames.raw/day=2026-11-26/manifest.json                 the files of that day and the gaps found on it
    URL/frames.raw/day=2026-11-26/hour=14/3-1200-4711.parquet   partition 3, offsets 1200 to 4711 without 4711

Day and hour (UTC) are those of the latest record of a file, by the time of the record. What lies beside, and is in no
manifest, does not count: a run that was killed left it, and the next one removes it.
"""

import re

from schemas.records import micros_to_iso

ARCHIVE = "archive.json"
LOCK = "archive.lock"
MANIFEST = "manifest.json"
HOUR_MS = 3_600_000
_FILE = re.compile(r"day=[^/]+/hour=[^/]+/[0-9]+-[0-9]+-[0-9]+\.parquet(\.part)?")
_MANIFEST = re.compile(rf"(day=[^/]+)/{re.escape(MANIFEST)}")


def day_of(timestamp_ms: int) -> str:
    """The folder of a day below that of the topic. For a time that no calendar has, `day=none`."""
    text = micros_to_iso(timestamp_ms * 1000)
    return f"day={text[:10]}" if text.endswith("Z") else "day=none"


def file_path(partition: int, from_offset: int, to_offset: int, timestamp_ms: int) -> str:
    """The path of a file below the folder of its topic. `timestamp_ms`: of its latest record."""
    text = micros_to_iso(timestamp_ms * 1000)
    hour = text[11:13] if text.endswith("Z") else "none"
    return f"{day_of(timestamp_ms)}/hour={hour}/{partition}-{from_offset}-{to_offset}.parquet"


def manifest_path(topic: str, day: str) -> str:
    return f"{topic}/{day}/{MANIFEST}"


def manifest_day(topic: str, path: str) -> str | None:
    """The day whose manifest is at that path; None for any other file."""
    found = _MANIFEST.fullmatch(path.removeprefix(f"{topic}/"))
    return found[1] if found else None


def is_file_of_ours(topic: str, path: str) -> bool:
    """Whether a run may have written it, whole or in part."""
    return _FILE.fullmatch(path.removeprefix(f"{topic}/")) is not None
