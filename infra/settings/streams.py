"""The section of the stream processor."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from infra.settings.base import MIB, Positive, Section

SAMPLE_MAX = 65_535


class StreamSettings(Section):
    """The limits on what waits, and on decoding.

    `max_inflight_bytes`: bytes on `frames.batches` that no worker has finished. `max_buffer_bytes`: frames held by this
    process.
    `max_frames_ahead`: how many frames of a partition are read past one that is not finished; then the partition waits.
    From half of that on, frames that wait for the decoder are deferred to the retry topic. `decoders`: how many images
    are decoded at once, beside one that takes long. `decode_timeout_ms`: for up to 8 images, or for one large image.
    `sample_range`: which samples of a picture of more than 8 bits become black and white. `auto`: the darkest and the
    brightest of the picture; `full`: 0 and the largest that its format holds; `LOW-HIGH` such as `7000-9200`: these.
    """

    encoding: Literal["I420", "RGB24", "JPEG"] = "I420"
    max_batch_frames: Positive = 32
    max_batch_bytes: Positive = 4 * MIB
    batch_deadline_ms: Positive = 20
    decoders: Positive = 2
    decode_timeout_ms: Positive = 10_000
    max_image_pixels: Positive = 50_000_000
    sample_range: Annotated[str, Field(pattern=r"^(auto|full|[0-9]{1,5}-[0-9]{1,5})$")] = "auto"
    max_buffer_frames: Positive = 256
    max_buffer_bytes: Positive = 64 * MIB
    max_frames_ahead: Positive = 8_192
    max_inflight_bytes: Positive = 256 * MIB
    commit_interval_ms: Positive = 1_000
    session_timeout_ms: Positive = 10_000
    heartbeat_interval_ms: Positive = 2_000
    group_instance_id: str = ""
    stall_timeout_ms: Positive = 60_000
    cache: bool = True

    @field_validator("sample_range")
    @classmethod
    def _range_rises(cls, text: str) -> str:
        low, dash, high = text.partition("-")
        if dash and not int(low) < int(high) <= SAMPLE_MAX:
            raise ValueError(f"a range rises, to {SAMPLE_MAX} at most, as in 7000-9200")
        return text
