"""The life of a frame as `explain --json` prints it. Pure."""

from typing import Any

from schemas.headers import replay_id_of, replay_of, traceparent_of
from schemas.label_json import label_fields
from schemas.records import micros_to_iso
from sinks.explain.found import BatchFound, FailureFound, LabelFound
from sinks.explain.life import Life, iso, steps, took_ms, verdict


def life_json(life: Life, asked: str, saved: str | None) -> dict[str, Any]:
    """The object that `explain --json` prints. Its keys are a contract."""
    state, sentence = verdict(life)
    way = steps(life)
    return {
        "asked": asked,
        "state": state.value,
        "sentence": sentence,
        "frame": _frame_json(life),
        "steps": [
            {
                "step": step.name,
                "at": None if step.at_ms is None else iso(step.at_ms),
                "took_ms": took,
                "note": step.note,
            }
            for step, took in zip(way, took_ms(way), strict=True)
        ],
        "labels": [_label_json(each) for each in life.findings.labels],
        "corrections": [_label_json(each) for each in life.findings.corrections],
        "replays": [_label_json(each) for each in life.findings.replays],
        "retries": [_failure_json(each) for each in life.findings.retries],
        "dead_letters": [{**_failure_json(each), "redriven": each.redriven} for each in life.findings.dead],
        "batch": None if life.batch is None else _batch_json(life.batch),
        "searched_until": micros_to_iso(life.searched_until_us) if life.searched_until_us else None,
        "complete": life.complete,
        "saved": saved,
        "notes": life.notes,
    }


def _frame_json(life: Life) -> dict[str, Any]:
    record, frame, place = life.frame.record, life.frame.frame, life.place
    headers = None if record is None else record.headers
    repeated = replay_of(headers)
    return {
        "topic": place.topic,
        "partition": place.partition,
        "offset": place.offset,
        "frame_id": life.frame_id,
        "source_id": frame.source_id if frame else None,
        "captured_at": micros_to_iso(frame.captured_at) if frame else None,
        "received_at": micros_to_iso(frame.received_at) if frame else None,
        "record_at": iso(record.timestamp_ms) if record else None,
        "encoding": frame.encoding.value if frame else None,
        "image_bytes": len(frame.image) if frame else None,
        "uri": frame.uri if frame else None,
        "there": record is not None,
        "fault": life.frame.fault or None,
        "traceparent": traceparent_of(headers),
        "replay_id": replay_id_of(headers),
        "replay_of": None if repeated is None else str(repeated),
    }


def _label_json(found: LabelFound) -> dict[str, Any]:
    at = found.at
    return {**label_fields(found.label, at.topic, at.partition, at.offset), "written_at": iso(found.written_ms)}


def _failure_json(found: FailureFound) -> dict[str, Any]:
    failure, at = found.failure, found.at
    return {
        "stage": failure.stage,
        "error": failure.error_class,
        "message": failure.message,
        "attempt": failure.attempt,
        "written_at": iso(found.written_ms),
        "topic": at.topic,
        "partition": at.partition,
        "offset": at.offset,
    }


def _batch_json(batch: BatchFound) -> dict[str, Any]:
    at = batch.at
    return {
        "batch_id": batch.batch_id, "topic": at.topic, "partition": at.partition, "offset": at.offset,
        "written_at": iso(batch.written_ms), "index": batch.index, "frames": batch.frames,
        "width": batch.width, "height": batch.height, "encoding": batch.encoding,
    }  # fmt: skip
