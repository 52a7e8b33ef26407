"""From what became of a batch's frames to the records that tell it: labels, review subset, retries, dead letters."""

import sys
from collections.abc import Sequence
from typing import Protocol

from inference.device.work import Failed, Labelled, Work
from infra.failures.outcomes import FrameRecord, dead_letter, retry_or_dead
from infra.kafka.sender import OutRecord
from infra.kafka.topics import TopicNames
from infra.settings import RetrySettings
from schemas import codec
from schemas.coordinates import Coordinates
from schemas.errors import BadFrame
from schemas.headers import REPLAY_ID, TRACEPARENT, Header, traceparents_of
from schemas.records import Decision

STAGE = "infer"


class FrameSource(Protocol):
    """What is needed of `inference.worker.refetch.Refetch`."""

    def fetch(self, topic: str, partition: int, offsets: Sequence[int]) -> dict[int, FrameRecord]: ...


class LabelsOut:
    """Whole work to records, in the order of its frames."""

    def __init__(
        self,
        names: TopicNames,
        retry: RetrySettings,
        frames: FrameSource,
        *,
        with_review: bool,
        registry: codec.Registry | None = None,
        max_record_bytes: int = sys.maxsize,
    ) -> None:
        self._names, self._retry, self._frames = names, retry, frames
        self._with_review, self._registry = with_review, registry
        self._max_record_bytes = max_record_bytes

    def records(self, work: Work) -> list[OutRecord]:
        """Reads failed frames again from their topic: raises Unavailable when that gives no answer."""
        if work.bad is not None:
            return [self._dead(_batch_record(work), work.bad)]
        failed = [index for index, outcome in work.outcomes.items() if isinstance(outcome, Failed)]
        frames = self._fetch(work, failed)
        records: list[OutRecord] = []
        for index, headers in enumerate(_kept_headers(work)):
            outcome = work.outcomes[index]
            if isinstance(outcome, Labelled):
                records += self._label(outcome, headers)
            else:
                records.append(self._failure(work, index, outcome, frames, headers))
        return records

    def _label(self, labelled: Labelled, headers: list[Header]) -> list[OutRecord]:
        label = labelled.label
        # The registry's id differs per subject, so with one the two topics need bytes of their own.
        value = codec.encode(label, self._registry, self._names.labels)
        records = [OutRecord(self._names.labels, label.source_id, value, headers)]
        if self._with_review and label.decision is Decision.REVIEW:
            if self._registry is not None:
                value = codec.encode(label, self._registry, self._names.review)
            records.append(OutRecord(self._names.review, label.source_id, value, headers))
        return records

    def _failure(
        self, work: Work, index: int, failed: Failed, frames: dict[int, FrameRecord], headers: list[Header]
    ) -> OutRecord:
        item = work.items[index]
        frame = frames.get(item.offset)
        attempt = work.origin.attempt
        if frame is None:
            # Nothing to try again with, but it does not vanish: its coordinates and the reason stay.
            captured_ms = item.captured_at // 1000
            record = FrameRecord(work.source_of(index), captured_ms, item.source_id, None, headers, attempt)
            gone = BadFrame("frame_gone", f"no longer in its topic; before that {_words(failed.error)}")
            return self._dead(record, gone)
        kept = [*headers, *(frame.headers or ())]
        record = FrameRecord(frame.source, frame.timestamp_ms, frame.key, frame.value, kept, attempt)
        return retry_or_dead(
            self._names, self._retry, record, STAGE, failed.error, max_record_bytes=self._max_record_bytes
        )

    def _dead(self, record: FrameRecord, error: BadFrame) -> OutRecord:
        return dead_letter(self._names, record, STAGE, error, max_record_bytes=self._max_record_bytes)

    def _fetch(self, work: Work, failed: list[int]) -> dict[int, FrameRecord]:
        if not failed:
            return {}
        offsets = [work.items[index].offset for index in failed]
        return self._frames.fetch(work.source_topic, work.source_partition, offsets)


def _kept_headers(work: Work) -> list[list[Header]]:
    """What goes from the batch to the records of each of its frames: its trace, and the replay that it belongs to."""
    replay = [(name, value) for name, value in work.origin.headers if name == REPLAY_ID]
    traces = traceparents_of(work.origin.headers, len(work.items))
    return [[(TRACEPARENT, trace.encode()), *replay] if trace else replay for trace in traces]


def _batch_record(work: Work) -> FrameRecord:
    """A record of which nothing is known but where it lay."""
    origin = work.origin
    return FrameRecord(
        Coordinates(origin.topic, origin.partition, origin.offset),
        origin.timestamp_ms,
        origin.key,
        work.raw,
        origin.headers,
        origin.attempt,
    )


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, BadFrame) else f"{type(error).__name__}: {error}"
