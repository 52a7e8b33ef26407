"""The section of the stream processor."""

from typing import Literal

from infra.settings.base import MIB, Positive, Section


class StreamSettings(Section):
    """The limits on what waits, and on decoding.

    `max_inflight_bytes`: bytes on `frames.batches` that no worker has finished. `max_buffer_bytes`: frames held by this
    process.
    `decoders`: how many images are decoded at once. `decode_timeout_ms`: for up to 8 images, or for one large image.
    """

    encoding: Literal["I420", "RGB24", "JPEG"] = "I420"
    max_batch_frames: Positive = 32
    max_batch_bytes: Positive = 4 * MIB
    batch_deadline_ms: Positive = 20
    decoders: Positive = 2
    decode_timeout_ms: Positive = 10_000
    max_image_pixels: Positive = 50_000_000
    max_buffer_frames: Positive = 256
    max_buffer_bytes: Positive = 64 * MIB
    max_inflight_bytes: Positive = 256 * MIB
    commit_interval_ms: Positive = 1_000
    session_timeout_ms: Positive = 10_000
    heartbeat_interval_ms: Positive = 2_000
    group_instance_id: str = ""
    stall_timeout_ms: Positive = 60_000
    cache: bool = True
