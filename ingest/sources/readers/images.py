"""Image files: the bytes of each file, unchanged, in the order of their paths."""

from pathlib import Path

from ingest.sources.files import image_files, utf8_name
from ingest.sources.readers.base import CapturedImage, ImageRefused, Pace
from ingest.sources.task import CaptureTask


class ImageFiles:
    """Decodes nothing: the stream stage finds out whether a file is an image, and counts it."""

    paced = True
    live = False
    skipped = 0
    damaged = 0
    replaced = 0
    jumps = 0

    def __init__(self, task: CaptureTask) -> None:
        self._root = Path(task.address)
        self._files = image_files(self._root)
        self._loop, self._fps, self._max_bytes = task.loop, task.fps, task.max_image_bytes
        self.expected_per_s = task.fps
        self.patience_s = task.read_timeout_ms / 1000
        self._next = task.skip_frames
        self._pace = Pace(shifts=True)

    def grab(self) -> float | None:
        if not self._files or (self._next >= len(self._files) and not self._loop):
            return None
        offset_s = self._next / self._fps
        self._next += 1
        self._pace.wait_until(offset_s)
        return offset_s

    def retrieve(self) -> CapturedImage | None:
        file = self._files[(self._next - 1) % len(self._files)]
        name = utf8_name(file.name if file == self._root else str(file.relative_to(self._root)))
        try:
            size = file.stat().st_size
            if size > self._max_bytes:
                raise ImageRefused("too_large", name, f"{size} bytes, the limit is {self._max_bytes}")
            return CapturedImage(data=file.read_bytes(), name=name)
        except OSError as error:
            raise ImageRefused("corrupt", name, f"it cannot be read: {error.strerror}") from error
