"""Records as the fields of Avro, and back."""

from typing import Any

from schemas import records, replays
from schemas.coordinates import Coordinates


def flat(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def _flat_or_none(place: Coordinates | None) -> dict[str, Any] | None:
    return None if place is None else flat(place)


def _place_or_none(fields: dict[str, Any] | None) -> Coordinates | None:
    return None if fields is None else Coordinates(**fields)


def frame(fields: dict[str, Any]) -> records.Frame:
    kind, encoding = records.SourceKind(fields["source_kind"]), records.Encoding(fields["encoding"])
    return records.Frame(**{**fields, "source_kind": kind, "encoding": encoding})


def _quality(fields: dict[str, Any]) -> records.Quality:
    return records.Quality(**{**fields, "flags": tuple(fields["flags"])})


def microbatch_fields(batch: records.MicroBatch) -> dict[str, Any]:
    return {**flat(batch), "items": [_item_fields(item) for item in batch.items]}


def _item_fields(item: records.BatchItem) -> dict[str, Any]:
    return {**flat(item), "quality": flat(item.quality), "replay_of": _flat_or_none(item.replay_of)}


def _item(fields: dict[str, Any]) -> records.BatchItem:
    quality, replay_of = _quality(fields["quality"]), _place_or_none(fields.get("replay_of"))
    return records.BatchItem(**{**fields, "quality": quality, "replay_of": replay_of})


def microbatch(fields: dict[str, Any]) -> records.MicroBatch:
    items = tuple(_item(item) for item in fields["items"])
    return records.MicroBatch(**{**fields, "items": items, "encoding": records.PixelEncoding(fields["encoding"])})


def label_fields(label: records.Label) -> dict[str, Any]:
    return {
        **flat(label),
        "predictions": [flat(prediction) for prediction in label.predictions],
        "model": flat(label.model),
        "quality": flat(label.quality),
        "source": flat(label.source),
        "replay_of": _flat_or_none(label.replay_of),
        "detections": [flat(detection) for detection in label.detections],
    }


def label(fields: dict[str, Any]) -> records.Label:
    return records.Label(
        **{
            **fields,
            "decision": records.Decision(fields["decision"]),
            "origin": records.Origin(fields["origin"]),
            "predictions": tuple(records.Prediction(**prediction) for prediction in fields["predictions"]),
            "model": records.ModelRef(**fields["model"]),
            "quality": _quality(fields["quality"]),
            "source": Coordinates(**fields["source"]),
            "replay_of": _place_or_none(fields["replay_of"]),
            "detections": tuple(records.Detection(**detection) for detection in fields["detections"]),
        }
    )


def status_fields(status: records.ProcessStatus) -> dict[str, Any]:
    return {**flat(status), "sources": [flat(source) for source in status.sources]}


def status(fields: dict[str, Any]) -> records.ProcessStatus:
    sources = tuple(records.SourceStatus(**source) for source in fields["sources"])
    return records.ProcessStatus(**{**fields, "sources": sources})


def progress_fields(progress: replays.ReplayProgress) -> dict[str, Any]:
    plan = {
        **flat(progress.plan),
        "gaps": [flat(gap) for gap in progress.plan.gaps],
        "partitions": [flat(one) for one in progress.plan.partitions],
    }
    lists = {name: [flat(one) for one in getattr(progress, name)] for name in ("positions", "lane", "gaps")}
    return {**flat(progress), "plan": plan, **lists}


def progress(fields: dict[str, Any]) -> replays.ReplayProgress:
    plan = {
        **fields["plan"],
        "gaps": tuple(replays.ReplayGap(**gap) for gap in fields["plan"]["gaps"]),
        "partitions": tuple(replays.OffsetRange(**one) for one in fields["plan"]["partitions"]),
    }
    return replays.ReplayProgress(
        **{
            **fields,
            "state": replays.ReplayState(fields["state"]),
            "plan": replays.ReplayPlan(**plan),
            "positions": tuple(Coordinates(**one) for one in fields["positions"]),
            "lane": tuple(replays.OffsetRange(**one) for one in fields["lane"]),
            "gaps": tuple(replays.ReplayGap(**gap) for gap in fields["gaps"]),
        }
    )


def request(fields: dict[str, Any]) -> replays.ReplayRequest:
    return replays.ReplayRequest(**{**fields, "action": replays.ReplayAction(fields["action"])})
