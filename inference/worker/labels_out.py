"""From the outcomes of a batch's frames to records: labels, the review subset, retries and dead letters."""

import sys
from collections.abc import Iterable
from typing import Protocol

from inference.device.work import FrameFailure, LabelledFrame, Work
from infra.failures.outcomes import FrameRecord, dead_letter, retry_or_dead
from infra.kafka.records import ConsumedRecord
from infra.kafka.sender import OutRecord
from infra.kafka.topics import TopicNames
from infra.kafka.traces import sent_within
from infra.settings import RetrySettings
from schemas import codec
from schemas.cache_headers import NO_CACHE, may_be_cached
from schemas.clocks import clock_headers, read_batch_clocks, read_clock
from schemas.coordinates import TopicPartition
from schemas.errors import BadFrame
from schemas.fields import MAX_ID_BYTES
from schemas.headers import REPLAY_ID, TRACEPARENT, Header, attempt_of, replay_of_headers, to_map, traceparents_of
from schemas.records import Decision, Frame

STAGE = "infer"


class FrameLookup(Protocol):
    """The part of `infra.kafka.lookup.RecordLookup` that is used here."""

    def fetch(self, partition: TopicPartition, offsets: Iterable[int]) -> dict[int, ConsumedRecord]: ...


class LabelsOut:
    """From complete work to records, in the order of its frames."""

    def __init__(
        self,
        names: TopicNames,
        retry: RetrySettings,
        frames: FrameLookup,
        *,
        with_review: bool,
        registry: codec.Registry | None = None,
        max_record_bytes: int = sys.maxsize,
    ) -> None:
        self._names, self._retry, self._frames = names, retry, frames
        self._with_review, self._registry = with_review, registry
        self._max_record_bytes = max_record_bytes

    def records(self, work: Work) -> list[OutRecord]:
        """Reads failed frames again from their topic. Raises Unavailable when the broker does not answer."""
        if work.bad is not None:
            return [self._dead(_frame_record(work.record, attempt_of(work.record.headers)), work.bad)]
        failed = [index for index, outcome in work.outcomes.items() if isinstance(outcome, FrameFailure)]
        frames = self._fetch(work, failed)
        records: list[OutRecord] = []
        for index, headers in enumerate(_kept_headers(work)):
            outcome = work.outcomes[index]
            if isinstance(outcome, LabelledFrame):
                made = self._label(outcome, headers)
            else:
                made = [self._failure(work, index, outcome, frames, headers)]
            records += [sent_within(work.spans.get(index), record) for record in made]
        return records

    def _label(self, labelled: LabelledFrame, headers: list[Header]) -> list[OutRecord]:
        label = labelled.label
        # With a schema registry the bytes carry an id that differs by topic, so each topic needs bytes of its own.
        value = codec.encode(label, self._registry, self._names.labels)
        records = [OutRecord(self._names.labels, label.source_id, value, headers)]
        if self._with_review and label.decision is Decision.REVIEW:
            if self._registry is not None:
                value = codec.encode(label, self._registry, self._names.review)
            records.append(OutRecord(self._names.review, label.source_id, value, headers))
        return records

    def _failure(
        self,
        work: Work,
        index: int,
        failure: FrameFailure,
        frames: dict[int, ConsumedRecord],
        headers: list[Header],
    ) -> OutRecord:
        item, attempt = work.items[index], attempt_of(work.record.headers)
        if item.offset < 0:
            # No frame can lie there, so the dead letter tells the place of the batch.
            batch = FrameRecord(
                work.record.coordinates, work.record.timestamp_ms, item.source_id, None, headers, attempt
            )
            return self._dead(batch, BadFrame("bad_fields", _text(failure.error)))
        found = frames.get(item.offset)
        if found is None or self._is_another(found, item.frame_id):
            # There is nothing left to try again. The dead letter keeps the frame's coordinates and the reason.
            frame_ms = read_clock(headers) or item.captured_at // 1000
            kept = [*headers, *replay_of_headers(item.replay_of)]
            lost = FrameRecord(work.source_of(index), frame_ms, item.source_id, None, kept, attempt)
            return self._dead(
                lost, BadFrame("frame_gone", f"no longer in its topic; before that {_text(failure.error)}")
            )
        frame = _frame_record(found, attempt, headers)
        return retry_or_dead(
            self._names, self._retry, frame, STAGE, failure.error, max_record_bytes=self._max_record_bytes
        )

    def _is_another(self, found: ConsumedRecord, frame_id: str) -> bool:
        """Whether another frame is at those coordinates now: a topic that was made again starts at 0.

        An id that no frame can have tells nothing of the topic: the batch is damaged.
        """
        if not 0 < len(frame_id.encode()) <= MAX_ID_BYTES:
            return False
        try:
            return codec.decode(Frame, found.value, self._registry).frame_id != frame_id
        except BadFrame:
            return False

    def _dead(self, record: FrameRecord, error: BadFrame) -> OutRecord:
        return dead_letter(self._names, record, STAGE, error, max_record_bytes=self._max_record_bytes)

    def _fetch(self, work: Work, failed: list[int]) -> dict[int, ConsumedRecord]:
        if not failed:
            return {}
        offsets = [offset for index in failed if (offset := work.items[index].offset) >= 0]
        return self._frames.fetch(TopicPartition(work.source_topic, work.source_partition), offsets)


def _kept_headers(work: Work) -> list[list[Header]]:
    """What the records of each frame take over from the batch's headers: trace, id of the replay, clock, no cache.

    An id that is too long for a label is left out: its frame would be refused again after a redrive.
    """
    found = work.record.headers
    replay = [(REPLAY_ID, value) for value in [to_map(found).get(REPLAY_ID)] if value and len(value) <= MAX_ID_BYTES]
    replay += [] if may_be_cached(found) else [NO_CACHE]
    traces, clocks = traceparents_of(found, len(work.items)), read_batch_clocks(found, len(work.items))
    return [
        [*([(TRACEPARENT, trace.encode())] if trace else []), *replay, *clock_headers(clock)]
        for trace, clock in zip(traces, clocks, strict=True)
    ]


def _frame_record(record: ConsumedRecord, attempt: int, headers: Iterable[Header] = ()) -> FrameRecord:
    """`headers` come before the record's own, which overrule them."""
    kept = [*headers, *(record.headers or ())]
    return FrameRecord(record.coordinates, record.timestamp_ms, record.key, record.value, kept, attempt)


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, BadFrame) else f"{type(error).__name__}: {error}"
