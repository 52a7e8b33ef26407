"""The records behind a few of the changed frames, looked up one by one."""

from typing import Any

from infra.kafka.lookup import RecordLookup
from infra.kafka.records import ConsumedRecord
from infra.kafka.schema_registry import registry_of
from infra.kafka.topics import TopicNames
from infra.replay.result import Answer, Diff, Example
from infra.replay.table import Outcome
from infra.settings import Settings
from schemas import codec
from schemas.codec import Registry
from schemas.coordinates import TopicPartition
from schemas.errors import BadFrame
from schemas.headers import Failure, read_failure
from schemas.records import Label


def read_examples(settings: Settings, found: Diff) -> list[Example]:
    """Those of `found.shown` whose records are still there. Raises Unavailable when Kafka does not answer."""
    live, replay = (TopicNames.for_lane(settings.topic_prefix, lane) for lane in ("live", "replay"))
    registry, examples = registry_of(settings), []
    lookup = RecordLookup(settings)
    try:
        for index in found.shown:
            before, after = found.changes[0][index], found.changes[1][index]
            records = _record(lookup, live, before), _record(lookup, replay, after)
            example = _example(*records, registry)
            if example is not None:
                examples.append(example)
    finally:
        lookup.close()
    return examples


def _record(lookup: RecordLookup, names: TopicNames, row: Any) -> ConsumedRecord | None:
    """The label or dead letter that a row was made of; None where retention has removed it."""
    topic = names.dead if row["outcome"] == Outcome.DEAD else names.labels
    offset = int(row["offset"])
    return lookup.fetch(TopicPartition(topic, int(row["partition"])), [offset]).get(offset)


def _example(live: ConsumedRecord | None, replay: ConsumedRecord | None, registry: Registry | None) -> Example | None:
    if live is None or replay is None:
        return None
    before, after = _label(live, registry), _label(replay, registry)
    either = after or before
    if either is None:
        return None
    failures = read_failure(live.headers), read_failure(replay.headers)
    place, repeated = (after.source, after.replay_of) if after else (None, None)
    lane = place or (failures[1].source if failures[1] else None)
    source = repeated or (before.source if before else None)
    if source is None:
        return None
    return Example(
        source, lane, either.frame_id, either.source_id, either.captured_at,
        _answer(before, failures[0]), _answer(after, failures[1]),
    )  # fmt: skip


def _label(record: ConsumedRecord, registry: Registry | None) -> Label | None:
    try:
        return codec.decode(Label, record.value, registry)
    except BadFrame:
        return None


def _answer(label: Label | None, failure: Failure | None) -> Answer:
    if label is None:
        return Answer(None, "(dead letter)", None, Outcome.DEAD.name, failure.error_class if failure else None, "")
    best = label.predictions[0] if label.predictions else None
    model = f"{label.model.name} {label.model.version}"
    if best is None:
        return Answer(None, "(no prediction)", None, label.decision.value, label.reason, model)
    return Answer(best.class_id, best.name, best.probability, label.decision.value, label.reason, model)
