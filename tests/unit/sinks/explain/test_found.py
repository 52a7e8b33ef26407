"""Which records tell of a frame, which of another one at its place, and how a micro-batch is found with few reads."""

from collections.abc import Iterable
from dataclasses import replace
from typing import cast

import pytest

from infra.kafka.lookup import RecordLookup
from infra.kafka.records import ConsumedRecord
from infra.kafka.spans import Span
from infra.kafka.topics import TopicNames
from schemas import codec
from schemas.coordinates import Coordinates, TopicPartition
from schemas.headers import ATTEMPT, Failure, Header, failure_headers, redriven_headers
from schemas.records import Label
from sinks.explain.batches import find_batch
from sinks.explain.found import Findings, FrameFound, Matcher, Positions, place_told
from tests.support.batches import frame, micro_batch
from tests.support.sink_records import a_label

NAMES, REPLAY = (TopicNames.for_lane("", lane) for lane in ("live", "replay"))
PLACE = Coordinates("frames.raw", 3, 17)
FRAME = frame("cam-3", 17)
FAILURE = Failure(PLACE, 1, "infer", "ModelError", "no room", 1)


def record(topic: str, offset: int, value: bytes | None, headers: list[Header] | None = None) -> ConsumedRecord:
    return ConsumedRecord(topic, 0, offset, 1_000 + offset, b"cam-3", value, headers)


def labelled(topic: str, offset: int, label: Label) -> ConsumedRecord:
    return record(topic, offset, codec.encode(label))


def found(*records: ConsumedRecord, known: bool = True) -> Findings:
    matcher = Matcher(PLACE, FrameFound(PLACE, None, FRAME if known else None), NAMES, REPLAY, None)
    for each in records * 2:  # what is read again counts once
        matcher.take(each)
    return matcher.findings


OWN = a_label(PLACE, frame_id=FRAME.frame_id)


def test_labels_of_the_frame_are_told_from_those_of_others_and_of_an_earlier_topic() -> None:
    records = [
        labelled("labels", 0, OWN),
        labelled("labels", 1, replace(OWN, source=Coordinates("frames.raw", 3, 16))),
        labelled("labels", 2, replace(OWN, frame_id="earlier/1/17")),
        record("labels", 3, b"no label"),
        record("labels", 4, None),
        labelled("labels.replay", 5, replace(OWN, source=Coordinates("frames.replay", 0, 2), replay_of=PLACE)),
        labelled("labels.replay", 6, replace(OWN, source=PLACE)),
    ]
    findings = found(*records)
    assert [each.at.offset for each in findings.labels] == [0]
    assert [each.at.offset for each in findings.replays] == [5]
    assert [each.offset for each in findings.others] == [2]
    assert findings.newest_ms == 1_000
    assert [each.at.offset for each in found(*records, known=False).labels] == [0, 2], "who knows which is older"


def test_corrections_are_apart_and_the_highest_revision_is_the_valid_label() -> None:
    first, second = (replace(OWN, replay_id=f"r{revision}", revision=revision) for revision in (20, 10))
    findings = found(labelled("labels", 0, OWN), labelled("labels", 1, first), labelled("labels", 2, second))
    assert [each.at.offset for each in findings.labels] == [0]
    assert [each.at.offset for each in findings.corrections] == [1, 2]
    assert findings.valid is not None and findings.valid.label.replay_id == "r20"
    plain = found(labelled("labels", 0, OWN))
    assert plain.valid is plain.labels[0]


def test_a_damaged_label_of_the_place_is_counted_once() -> None:
    assert found(record("labels", 0, codec.encode(OWN) + b"x")).undecodable == 1


def test_dead_letters_and_attempts_with_the_mark_that_one_was_sent_again() -> None:
    findings = found(
        record("frames.retry", 1, codec.encode(FRAME), failure_headers(None, FAILURE)),
        record("frames.dead", 2, b"no frame", failure_headers(None, FAILURE)),
        record("frames.dead", 3, codec.encode(frame("cam-9", 17)), failure_headers(None, FAILURE)),
        record("frames.dead", 4, None, redriven_headers(FAILURE, 0, 2)),
        record("frames.dead", 5, None, failure_headers(None, replace(FAILURE, source=Coordinates("frames.raw", 3, 1)))),
        record("frames.dead", 6, None),
    )
    assert [each.at.offset for each in findings.retries] == [1]
    assert [(each.at.offset, each.redriven) for each in findings.dead] == [(2, True)]
    assert [each.offset for each in findings.others] == [3]


@pytest.mark.parametrize(
    ("given", "place"),
    [
        (labelled("labels", 0, OWN), PLACE),
        (labelled("labels", 0, a_label(PLACE, frame_id="x", source_id=FRAME.frame_id)), None),
        (record("frames.dead", 0, codec.encode(FRAME), failure_headers(None, FAILURE)), PLACE),
        (record("frames.raw", 8, codec.encode(FRAME)), Coordinates("frames.raw", 0, 8)),
        (record("frames.raw", 8, codec.encode(FRAME), failure_headers(None, FAILURE)), Coordinates("frames.raw", 0, 8)),
        (record("frames.raw", 8, FRAME.frame_id.encode()), None),
        (record("frames.raw", 8, None), None),
    ],
)
def test_where_a_frame_lies_by_its_id(given: ConsumedRecord, place: Coordinates | None) -> None:
    assert place_told(given, NAMES, FRAME.frame_id, None) == place


def test_what_a_group_has_before_it() -> None:
    positions = Positions({PLACE.topic_partition: 10}, {"infer": "no right"})
    assert (positions.before("stream", PLACE), positions.before("stream", PLACE, start=15)) == (7, 2)
    assert positions.before("stream", replace(PLACE, offset=9)) is None
    assert positions.before("infer", PLACE) is None


class Log:
    """A partition of micro-batches of 8 frames each; every fifth one is a retried one, out of order."""

    def __init__(self, batches: int) -> None:
        self.reads, self.batches = 0, batches

    def fetch(self, partition: TopicPartition, offsets: Iterable[int]) -> dict[int, ConsumedRecord]:
        (offset,) = offsets
        self.reads += 1
        if offset % 7 == 3:
            return {}
        first = 0 if offset % 5 == 4 else offset * 8
        headers: list[Header] = [(ATTEMPT, b"1")] if offset % 5 == 4 else []
        value = codec.encode(micro_batch("frames.raw", 3, range(first, first + 8)))
        return {offset: ConsumedRecord(*partition, offset, 1_000, b"3", value, headers)}


def test_a_micro_batch_is_found_with_few_reads_although_some_are_gone_and_some_out_of_order() -> None:
    log = Log(10_000)
    for wanted in (0, 1, 2, 5, 2_000, 9_998):
        log.reads = 0
        place = Coordinates("frames.raw", 3, wanted * 8 + 5)
        batch = find_batch(cast(RecordLookup, log), Span("batches", 3, 0, log.batches), place, None, None)
        assert batch is not None
        assert (batch.at.offset, batch.index, batch.frames) == (wanted, 5, 8)
        assert log.reads <= 40
    nowhere = Coordinates("frames.raw", 3, 9_999_999)
    assert find_batch(cast(RecordLookup, log), Span("batches", 3, 0, log.batches), nowhere, None, None) is None
    assert find_batch(cast(RecordLookup, log), Span("batches", 3, 0, 0), place, None, None) is None
