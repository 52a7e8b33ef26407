"""What a capture process is asked to do for a camera."""

from ingest.camera.spec import CameraSpec
from ingest.sources.task import CaptureTask


def capture_task(spec: CameraSpec, max_image_bytes: int, skip_frames: int) -> CaptureTask:
    """`skip_frames`: how many frames of a finite source were delivered before."""
    timeouts, pictures = spec.timeouts, spec.pictures
    return CaptureTask(
        reader=spec.source.reader,
        address=spec.source.address,
        fps=spec.fps,
        loop=spec.loop,
        jpeg_quality=spec.jpeg_quality,
        open_timeout_ms=timeouts.open_timeout_ms,
        read_timeout_ms=timeouts.read_timeout_ms,
        max_image_bytes=max_image_bytes,
        skip_frames=skip_frames,
        lost_after_ms=timeouts.lost_after_ms,
        connection=spec.connection,
        max_side=pictures.max_side,
        keyframes_only=pictures.keyframes_only,
        skip_unchanged_ms=pictures.skip_unchanged_ms,
    )
