"""Motion JPEG over HTTP: the pictures of one answer that does not end, their bytes unchanged.

FFmpeg is not used for it: its demuxer gives up at the first part that is not framed as it expects, and OpenCV then
gives no frame at all.
"""

import re
import time
from collections.abc import Callable, Iterator

from ingest.sources.motion_jpeg_parser import MotionJpegParser, StreamPicture
from ingest.sources.readers.base import CapturedImage, ImageRefused, SourceFault
from ingest.sources.readers.whole_jpeg import has_all_rows
from ingest.sources.task import CaptureTask

# The body of a further answer of the same address. Raises SourceFault.
AskAgain = Callable[[], Iterator[bytes]]

MAX_POLL_PERIOD_S = 1.0
BOUNDARY = re.compile(r"boundary\s*=\s*(?:\"([^\"]*)\"?|([^\s;,]+))", re.IGNORECASE)


class MotionJpegStream:
    """The pictures of a stream as they come; of several that come at once, the newest.

    `chunks` is the body of the first answer; it raises SourceFault where it breaks off. An answer that ends in good
    order after a picture is no fault: `ask_again` gives the body of the next one, so that a camera which sends one
    picture an answer is polled. Raises SourceFault where no picture comes within the read time-out.
    """

    paced = False
    live = True
    skipped = 0
    expected_per_s = 0.0
    jumps = 0

    def __init__(self, content_type: str, chunks: Iterator[bytes], ask_again: AskAgain, task: CaptureTask) -> None:
        self.damaged = self.replaced = 0
        self._chunks, self._ask_again = chunks, ask_again
        # A read that brings nothing may begin just before the time is over, and a further answer may be asked for.
        self.patience_s = (2 * task.read_timeout_ms + task.open_timeout_ms) / 1000
        self._timeout_ms, self._max_bytes = task.read_timeout_ms, task.max_image_bytes
        self._poll_period_s = min(1 / task.fps, MAX_POLL_PERIOD_S)
        self._asked_s, self._has_picture = time.monotonic(), False
        self._parser = MotionJpegParser(declared_boundary(content_type), self._max_bytes)
        self._cut = 0
        self._picture = self._await_picture()
        self._is_grabbed = False

    def grab(self) -> float | None:
        if self._is_grabbed:
            self._picture = self._await_picture()
        self._is_grabbed = True
        return time.monotonic()

    def retrieve(self) -> CapturedImage | None:
        if not self._picture.data:
            raise ImageRefused("too_large", "a picture of the stream", f"the limit is {self._max_bytes} bytes")
        return CapturedImage(data=self._picture.data)

    def _await_picture(self) -> StreamPicture:
        until_s = time.monotonic() + self._timeout_ms / 1000
        while time.monotonic() < until_s:
            chunk = next(self._chunks, None)
            whole = self._whole(self._parser.finish() if chunk is None else self._parser.feed(chunk))
            if whole:
                self._has_picture = True
                self.replaced += len(whole) - 1
                return whole[-1]
            if chunk is None:
                self._ask_for_more()
        raise SourceFault(f"no picture for {self._timeout_ms} ms (read_timeout_ms)")

    def _whole(self, pictures: list[StreamPicture]) -> list[StreamPicture]:
        """Those that are not cut. The others are counted, with what the parser counted."""
        whole = [picture for picture in pictures if picture.ended or has_all_rows(picture.data)]
        self._cut += len(pictures) - len(whole)
        self.damaged = self._parser.damaged + self._cut
        return whole

    def _ask_for_more(self) -> None:
        if not self._has_picture:
            raise SourceFault("the stream ended without a picture")
        time.sleep(max(0.0, self._asked_s + self._poll_period_s - time.monotonic()))
        self._asked_s, self._has_picture = time.monotonic(), False
        self._chunks = self._ask_again()


def declared_boundary(content_type: str) -> str:
    """The boundary that a content type names, in whatever spelling; empty where it names none."""
    found = BOUNDARY.search(content_type)
    return (found[1] or found[2] or "").strip() if found else ""
