"""What an archive has: the manifest of a day with its files and gaps, and the head of the whole archive. Pure.

Both are JSON with a checksum of their own, so that a changed one is not believed.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

from schemas.errors import ArchiveError

FORMAT = "sightline-archive/1"
# So many ranges without a record are named for each file; the last one then reaches over all that follow.
MAX_HOLES = 1_000
RETENTION, NO_RECORD, NONE_SELECTED = "retention", "no_record", "none_selected"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """One file: offsets `from_offset` to `to_offset` (exclusive) of one partition, unbroken. Times are of records.

    `path` is below the folder of the topic. `frames` and `payload_bytes` (of values) are what it holds; `holes` are the
    ranges of its offsets that had no record (compacted, aborted, or a transaction's marker). Where only selected frames
    are kept, an offset without one may also have been left out. `footer_start`, `footer_crc32`: the end of the file,
    which has the checksums of all before it.
    """

    path: str
    partition: int
    from_offset: int
    to_offset: int
    least_ms: int
    greatest_ms: int
    frames: int
    payload_bytes: int
    size_bytes: int
    sources: int
    footer_start: int
    footer_crc32: int
    holes: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Gap:
    """Offsets that are in no file. `reason`: RETENTION removed them first, or there was NO_RECORD or NONE_SELECTED."""

    partition: int
    from_offset: int
    to_offset: int
    reason: str
    found_at_ms: int


@dataclass(frozen=True, slots=True)
class DayManifest:
    """The files and gaps of one topic and day."""

    topic: str
    day: str
    files: tuple[ArchivedFile, ...] = ()
    gaps: tuple[Gap, ...] = ()

    def with_file(self, file: ArchivedFile) -> "DayManifest":
        return replace(self, files=(*self.files, file))

    def with_gap(self, gap: Gap) -> "DayManifest":
        """A gap that goes on with the last one of its partition and reason makes that one longer."""
        for index, one in enumerate(self.gaps):
            if (one.partition, one.reason, one.to_offset) == (gap.partition, gap.reason, gap.from_offset):
                longer = replace(one, to_offset=gap.to_offset, found_at_ms=gap.found_at_ms)
                return replace(self, gaps=(*self.gaps[:index], longer, *self.gaps[index + 1 :]))
        return replace(self, gaps=(*self.gaps, gap))

    def without_older(self, before_ms: int) -> "DayManifest":
        """Without files of which every record, and gaps of which the finding, is older."""
        files = tuple(file for file in self.files if file.greatest_ms >= before_ms)
        return replace(self, files=files, gaps=tuple(gap for gap in self.gaps if gap.found_at_ms >= before_ms))


@dataclass(frozen=True, slots=True)
class Head:
    """`log_id`: the cluster and topic that the offsets belong to. `only`: what is kept, None for every frame.

    `passed`: per partition, the offset before which files were removed by age. `writer` changes with each run. `days`:
    the manifests that must be there: without one its files would seem to be left over, and be removed.
    """

    topic: str
    log_id: str
    only: str | None = None
    writer: str = ""
    passed: Mapping[int, int] = field(default_factory=dict)
    days: tuple[str, ...] = ()


def manifest_bytes(manifest: DayManifest) -> bytes:
    return _sealed(asdict(manifest))


def head_bytes(head: Head) -> bytes:
    return _sealed({**asdict(head), "passed": sorted(head.passed.items())})


def read_manifest(data: bytes, where: str) -> DayManifest:
    """Raises ArchiveError, naming the file, for anything that this format does not say."""

    def make(fields: dict[str, Any]) -> DayManifest:
        files = tuple(
            ArchivedFile(**{**one, "holes": tuple((int(start), int(end)) for start, end in one["holes"])})
            for one in fields.pop("files")
        )
        return DayManifest(files=files, gaps=tuple(Gap(**one) for one in fields.pop("gaps")), **fields)

    return _opened(data, where, make)


def read_head(data: bytes, where: str) -> Head:
    """As `read_manifest`."""
    return _opened(data, where, lambda fields: Head(**_head_fields(fields)))


def _head_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """An archive from before days were named has none."""
    return {**fields, "passed": dict(fields["passed"]), "days": tuple(fields.get("days", ()))}


def _sealed(fields: dict[str, Any]) -> bytes:
    whole = {"format": FORMAT, **fields}
    return json.dumps({**whole, "checksum": _checksum(whole)}).encode() + b"\n"


def _opened(data: bytes, where: str, make: Callable[[dict[str, Any]], T]) -> T:
    try:
        fields: dict[str, Any] = json.loads(data)
        checksum = fields.pop("checksum")
        if fields["format"] != FORMAT:
            raise ArchiveError(f"{where} has the format {fields['format']}, but this Sightline reads {FORMAT}")
        if checksum != _checksum(fields):
            raise ArchiveError(f"{where} was altered: its checksum is another")
        del fields["format"]
        return make(fields)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ArchiveError(f"{where} cannot be read: it is cut or was altered ({error})") from error


def _checksum(fields: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
