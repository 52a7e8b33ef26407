"""The records that travel, as frozen dataclasses; field names are those of the Avro schemas.

Timestamps are `Micros`: whole microseconds since 1970 UTC, the Avro timestamp-micros itself, because
a datetime per field costs more than the rest of decoding a Label.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

from schemas.coordinates import Coordinates

Micros: TypeAlias = int
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros_to_iso(micros: Micros) -> str:
    """ISO 8601 in UTC with microseconds, ending in Z; the number itself where no calendar has that time."""
    try:
        moment = _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return str(micros)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


class SourceKind(StrEnum):
    CAMERA = "CAMERA"
    CRAWLER = "CRAWLER"
    UPLOAD = "UPLOAD"


class Encoding(StrEnum):
    """How `Frame.image` claims to be encoded; a hint, the bytes decide."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WEBP"
    OTHER = "OTHER"


class PixelEncoding(StrEnum):
    """How `MicroBatch.pixels` holds each image: I420 1.5 bytes a pixel, RGB24 3, JPEG the original bytes.

    I420 of W x H pixels: the Y plane, H rows of W bytes; then U and V, each (H + 1) // 2 rows of (W + 1) // 2 bytes.
    """

    I420 = "I420"
    RGB24 = "RGB24"
    JPEG = "JPEG"

    def image_bytes(self, width: int, height: int) -> int:
        """The bytes of one image. ValueError for JPEG, which has no fixed size."""
        if self is PixelEncoding.I420:
            return width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)
        if self is PixelEncoding.RGB24:
            return width * height * 3
        raise ValueError(f"{self} has no fixed size")


class Decision(StrEnum):
    ACCEPTED = "ACCEPTED"
    REVIEW = "REVIEW"


class Origin(StrEnum):
    MODEL = "MODEL"
    CACHE_EXACT = "CACHE_EXACT"
    CACHE_NEAR = "CACHE_NEAR"


@dataclass(frozen=True, slots=True)
class Frame:
    """One encoded image; `image` is never pixels."""

    frame_id: str
    source_id: str
    source_kind: SourceKind
    stream_epoch: int
    frame_seq: int
    captured_at: Micros
    received_at: Micros
    encoding: Encoding
    image: bytes
    uri: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Quality:
    """blur: variance of the Laplacian; brightness: mean luma 0..255; contrast: standard deviation of luma."""

    blur: float
    brightness: float
    contrast: float
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One frame of a MicroBatch; its pixels are `pixels[start:start + length]`. `replay_of`: the frame it repeats."""

    offset: int
    frame_id: str
    source_id: str
    captured_at: Micros
    image_hash: bytes
    quality: Quality
    start: int
    length: int
    replay_of: Coordinates | None = None


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Frames of one source partition in offset order, ready for the model."""

    batch_id: str
    lane: str
    encoding: PixelEncoding
    width: int
    height: int
    source_topic: str
    source_partition: int
    items: tuple[BatchItem, ...]
    pixels: bytes


@dataclass(frozen=True, slots=True)
class Prediction:
    class_id: str
    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class ModelRef:
    name: str
    version: str
    calibration: str


@dataclass(frozen=True, slots=True)
class Detection:
    """One object in a frame. The edges are shares (0 to 1) of the width and height of the upright picture."""

    class_id: str
    name: str
    probability: float
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Label:
    """What one frame was decided to be; `predictions` are best first.

    `score` was compared with `threshold`, and `score_kind` says what it is; None in labels of versions that did not
    tell. `revision`: 0, or the time of a promoted correction in ms since 1970; of a frame's labels the highest wins.
    `replay_of`: in the replay lane the frame that `source` repeats. `detections` are reserved for boxes.
    """

    frame_id: str
    source_id: str
    captured_at: Micros
    labelled_at: Micros
    decision: Decision
    reason: str | None
    predictions: tuple[Prediction, ...]
    origin: Origin
    model: ModelRef
    quality: Quality
    source: Coordinates
    replay_id: str | None = None
    score: float | None = None
    threshold: float | None = None
    score_kind: str | None = None
    revision: int = 0
    replay_of: Coordinates | None = None
    detections: tuple[Detection, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """The health of one source. `reason`: why it is not up; `dropped`: frames since the process started, by reason.

    `state`: up, failing, frozen, down, off (outside its hours) or ended. `frames_per_s` are acknowledged by the broker,
    `taken_per_s` came from the source. `quality`: of the connection (excellent, fair, poor, unusable).
    `spooled_frames` wait on the disk of the producer for Kafka.
    """

    source_id: str
    state: str
    frames_per_s: float
    last_frame_at: Micros | None = None
    reason: str | None = None
    taken_per_s: float | None = None
    expected_per_s: float | None = None
    reconnects_last_hour: int | None = None
    stalls_last_hour: int | None = None
    quality: str | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)
    spooled_frames: int = 0


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """What one process of the pipeline says of itself. `stage`: ingest, stream, infer or sink-<name>.

    `paused`: why it takes nothing in although frames wait. `waiting_frames`: frames in the process that are not
    finished. `frames_per_record`: mean number of frames in a record that it reads. `produce_wait_ms`: the median time
    until a record is acknowledged. `metrics_address`: host and port of its `/metrics`. Rates and times are None while
    they are not known.
    """

    process_id: str
    stage: str
    lane: str
    at: Micros
    paused: str | None = None
    waiting_frames: int = 0
    arriving_per_s: float | None = None
    finished_per_s: float | None = None
    frames_per_record: float = 1.0
    produce_wait_ms: float | None = None
    newest_frame_at: Micros | None = None
    metrics_address: str | None = None
    sources: tuple[SourceStatus, ...] = ()
