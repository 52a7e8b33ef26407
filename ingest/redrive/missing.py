"""`sightline redrive --missing`: the frames of a range that the audit finds without an outcome, and their copies."""

from collections.abc import Iterator
from dataclasses import dataclass

from infra.audit.audit import Audit
from infra.audit.ledger import Ledger
from infra.failures.outcomes import FrameRecord, dead_letter
from infra.kafka.reader import Reader
from infra.kafka.records import ConsumedRecord
from infra.kafka.sender import OutRecord
from infra.kafka.spans import Span
from infra.kafka.topics import Lane, TopicNames
from infra.process.lifecycle import Stop
from infra.settings import Settings
from ingest.redrive.plan import FIRST_ATTEMPT
from ingest.redrive.send import Copy
from ingest.redrive.under_way import mark_under_way
from schemas.errors import BadFrame, SightlineError
from schemas.headers import Failure, failure_headers
from schemas.records import Micros

STAGE, ERROR_CLASS = "redrive", "no_outcome"
MAX_RANGES_NAMED = 100


@dataclass(frozen=True, slots=True)
class MissingFrames:
    """`count` frames are on the frames topic and have no outcome. `under_way`: further ones that a stage still has.

    `expired`: further ones that retention removed, the first of them in `expired_ranges`. `notes` are the audit's.
    `newer` says why some of these frames may have an outcome, or be under way, after all: a newer version wrote it.
    """

    ledger: Ledger
    count: int
    under_way: int
    expired: int
    expired_ranges: list[Span]
    notes: list[str]
    newer: str


def find_missing(
    settings: Settings, reader: Reader, lane: Lane, from_us: Micros | None, to_us: Micros | None, stop: Stop
) -> MissingFrames:
    """What `sightline audit` finds for this range, less what is under way. Raises SightlineError when it is stopped."""
    audit = Audit.of_time(settings, reader, lane, from_us, to_us)
    audit.settle(stop=stop.is_set)
    batches = ""
    if not stop.is_set() and audit.ledger.open_count():
        batches = mark_under_way(settings, reader, lane, audit.ledger, stop)
    balance = audit.settle(stop=stop.is_set)
    if stop.is_set():
        raise SightlineError("stopped while the outcomes were read; nothing was written")
    notes = audit.notes(balance)
    if batches:
        notes.append(
            f"frames of a micro-batch that is not known here may be under way ({batches}): upgrade this program"
        )
    return MissingFrames(
        audit.ledger,
        balance.missing_count,
        audit.ledger.under_way_count(),
        balance.expired,
        audit.ledger.expired_ranges(MAX_RANGES_NAMED),
        notes,
        audit.newer_labels() or batches,
    )


def copies_of(names: TopicNames, reader: Reader, ledger: Ledger, max_record_bytes: int, stop: Stop) -> Iterator[Copy]:
    """The missing frames as records for the retry topic, read one after the other."""
    for record in reader.read(ledger.missing_ranges(), stop.is_set):
        if ledger.is_missing(record.coordinates):
            yield Copy(out_record(names, record, max_record_bytes))


def out_record(names: TopicNames, record: ConsumedRecord, max_record_bytes: int) -> OutRecord:
    """The copy, whose origin is the frame's own place. A frame that fits into no copy becomes a dead letter."""
    frame = FrameRecord.of(record)
    if frame.size > max_record_bytes:
        error = BadFrame("too_large", "no outcome was found, and the frame does not fit into a record of ours")
        return dead_letter(names, frame, STAGE, error, max_record_bytes=max_record_bytes)
    failure = Failure(
        frame.source, frame.timestamp_ms, STAGE, ERROR_CLASS, "the audit found no outcome of this frame", FIRST_ATTEMPT
    )
    return OutRecord(names.retry, record.key, record.value, failure_headers(record.headers, failure))
