"""A frame that a producer wants to have on `frames.raw`, before the outbox gives it a number."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.records import Encoding, Micros, SourceKind


@dataclass(frozen=True, slots=True)
class OutgoingFrame:
    """The frames of one `source_id`, which is the Kafka key, keep their order; `stream_epoch` grows with each restart.

    `captured_at` is when the source made the image, `received_at` when the producer got it. `uri` and `attributes`
    travel with the frame for anyone to read, so they must hold no credentials. A frame that has not reached the Kafka
    client by `expires_at` is dropped as `stale`; None means that it is sent however old it is. The source of a `live`
    frame does not wait: where there is a spool, the frame goes there while Kafka takes none.
    """

    source_id: str
    source_kind: SourceKind
    stream_epoch: int
    captured_at: Micros
    received_at: Micros
    encoding: Encoding
    image: bytes
    uri: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    expires_at: Micros | None = None
    live: bool = False


@dataclass(frozen=True, slots=True)
class ReadyFrame:
    """A frame with its number, as the outbox sends it. `value` is the Frame in single-object encoding."""

    source_id: str
    frame_id: str
    captured_at: Micros
    expires_at: Micros | None
    value: bytes
