"""A label as a JSON object, the form in which programs outside Kafka get it. Pure."""

import json
from dataclasses import asdict
from typing import Any

from schemas.records import Label, micros_to_iso


def label_fields(label: Label, topic: str, partition: int, offset: int) -> dict[str, Any]:
    """The object that `subscribe` prints. Its keys are a contract.

    These are the fields of the Avro record, with times in ISO 8601, and the coordinates of the label's own record.
    """
    fields = asdict(label)
    fields["captured_at"] = micros_to_iso(label.captured_at)
    fields["labelled_at"] = micros_to_iso(label.labelled_at)
    return {**fields, "topic": topic, "partition": partition, "offset": offset}


def json_line(label: Label, topic: str, partition: int, offset: int) -> str:
    """The label as JSON, in ASCII, so that no terminal finds a control sequence in it. NaN and infinity become null."""
    fields = label_fields(label, topic, partition, offset)
    try:
        return json.dumps(fields, allow_nan=False, separators=(",", ":"))
    except ValueError:
        finite = json.loads(json.dumps(fields), parse_constant=lambda _name: None)
        return json.dumps(finite, separators=(",", ":"))
