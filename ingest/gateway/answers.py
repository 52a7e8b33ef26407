"""The bodies of requests and answers as OpenAPI shows them, with examples that a test sends."""

import base64
import struct
import zlib
from typing import Any

from pydantic import BaseModel, ConfigDict

from ingest.gateway.problems import MEDIA_TYPE


def example_png() -> bytes:
    """A picture of 16 x 16 grey pixels: small enough to stand in a document."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 16, 16, 8, 0, 0, 0, 0)
    rows = b"".join(b"\0" + bytes(range(0, 256, 16)) for _ in range(16))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


class Taken(BaseModel):
    """One frame that Kafka has acknowledged. `label`: the path of its label."""

    frame_id: str
    name: str = ""
    label: str


class TakenFrames(BaseModel):
    """The frames of a request, in the order of its files."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "frames": [
                    {
                        "frame_id": "shop.3/1795700000000/41",
                        "name": "cat.jpg",
                        "label": "/v1/labels/shop.3/1795700000000/41",
                    }
                ]
            }
        }
    )
    frames: list[Taken]


class ProblemBody(BaseModel):
    """An error by RFC 9457. `code` is for programs, `detail` for people."""

    type: str
    title: str
    status: int
    code: str
    detail: str


LABEL_EXAMPLE: dict[str, Any] = {
    "frame_id": "shop.3/1795700000000/41",
    "source_id": "shop.3",
    "captured_at": "2026-11-26T10:13:20.000000Z",
    "labelled_at": "2026-11-26T10:13:20.087000Z",
    "decision": "ACCEPTED",
    "reason": None,
    "predictions": [{"class_id": "281", "name": "tabby", "probability": 0.93}],
    "origin": "MODEL",
    "model": {"name": "efficientnet-lite0", "version": "1", "calibration": "none"},
    "quality": {"blur": 410.2, "brightness": 121.4, "contrast": 55.1, "flags": []},
    "source": {"topic": "frames.raw", "partition": 4, "offset": 1041},
    "replay_id": None,
    "score": 0.93,
    "threshold": 0.5,
    "score_kind": "probability",
    "revision": 0,
    "replay_of": None,
    "detections": [],
    "topic": "labels",
    "partition": 4,
    "offset": 1038,
}

_WHY = {
    400: "the request cannot be read",
    401: "no key, or one that is not known",
    403: "the key may not do this: it lacks the scope, or the frame was uploaded with another key",
    404: "no label: `no_label_yet`, `dead_letter`, or `not_kept`",
    408: "the body came too slowly",
    409: "a request with this Idempotency-Key is under way",
    413: "the body, a picture or its number of pixels is too large",
    415: "not a picture, whatever its name and type say",
    422: "the Idempotency-Key was used for another body, or the webhook's target is none",
    429: "too much: a quota, or the pipeline is behind; Retry-After says when to try again",
    503: "Kafka is away; Retry-After says when to try again",
}


def problem_answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Answers of an operation beside its good one, for FastAPI."""
    schema = {"$ref": "#/components/schemas/ProblemBody"}
    return {status: {"description": _WHY[status], "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses}


def upload_body() -> dict[str, Any]:
    """The request body of an upload, for OpenAPI; binary examples are in base64."""
    picture = {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"}
    example = base64.b64encode(example_png()).decode()
    files = {
        "type": "object",
        "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
    }
    return {
        "required": True,
        "content": {
            "image/*": {"schema": picture, "example": example},
            "multipart/form-data": {"schema": files, "example": {"file": [example, example]}},
        },
    }


def upload_parameters() -> list[dict[str, Any]]:
    """The parameters of an upload, for OpenAPI."""
    described = (
        ("query", "name", "the name of the one picture of a raw body"),
        ("query", "captured_at", "when the picture was made, ISO 8601"),
        ("query", "webhook", "where the label is sent, signed"),
        ("header", "Idempotency-Key", "the same key again gives the same answer, and uploads nothing"),
    )
    return [
        {"in": place, "name": name, "required": False, "schema": {"type": "string"}, "description": text}
        for place, name, text in described
    ]
