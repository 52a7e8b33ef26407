"""A camera that gives one picture for each request. Each answer is looked at; a bad one costs one picture."""

import math
import time

from ingest.sources import answers
from ingest.sources.readers.base import CapturedImage, ImageRefused, Pace, PictureMissed, SourceFault
from ingest.sources.readers.http_client import Answer, CameraClient
from ingest.sources.readers.whole_jpeg import has_all_rows
from ingest.sources.task import CaptureTask

# A password that is refused so often in a row is wrong, and a camera may lock the account of who goes on.
MAX_UNAUTHORISED = 3
# So many misses in a row make a camera lost, also where each of them takes long.
MIN_MISSES_LOST = 5


class SnapshotCamera:
    """One GET for each frame, at the requested rate; the bytes are published unchanged.

    `first`: the picture that came when the address was opened; it is the first frame.
    """

    paced = True
    live = True
    skipped = 0
    damaged = 0
    replaced = 0
    jumps = 0

    def __init__(self, client: CameraClient, task: CaptureTask, first: bytes | None) -> None:
        self._client, self._first = client, first
        self._fps, self._max_bytes = task.fps, task.max_image_bytes
        self.expected_per_s, self.patience_s = task.fps, client.patience_s
        self._misses = Misses(task.lost_after_ms / 1000)
        self._tick = -1
        self._pace = Pace(shifts=False)

    def grab(self) -> float | None:
        self._tick += 1
        late_s = self._pace.wait_until(self._tick / self._fps)
        self._tick += int(late_s * self._fps)
        return self._tick / self._fps

    def retrieve(self) -> CapturedImage | None:
        self._misses.check_wait(time.monotonic())
        first, self._first = self._first, None
        try:
            body = first or self._ask()
        except PictureMissed as missed:
            self._misses.add(missed, time.monotonic())
            raise
        except ImageRefused:
            self._misses.clear(time.monotonic())
            raise
        self._misses.clear(time.monotonic())
        return CapturedImage(data=body)

    def _ask(self) -> bytes:
        with self._client.ask() as answer:
            return picture_of(answer, read_body(answer, self._max_bytes))


def read_body(answer: Answer, max_bytes: int) -> bytes:
    """A body with one picture, which is enough as soon as that is whole: the framing around it may be wrong.

    Raises PictureMissed, and ImageRefused where it is too large.
    """
    body = bytearray()
    try:
        for piece in answer.pieces():
            body += piece
            if len(body) > max_bytes:
                raise ImageRefused("too_large", "snapshot", f"over {len(body)} bytes, the limit is {max_bytes}")
            if answers.has_end(body, len(piece)):
                answer.expect_little_more()
            answer.check_time()
    except PictureMissed:
        if not answers.has_end(body, len(body)):
            raise
    return bytes(body)


class Misses:
    """The misses in a row of one camera: how long it asked to be left alone, and when it counts as lost."""

    def __init__(self, lost_after_s: float) -> None:
        self._lost_after_s = lost_after_s
        self._since_s = math.inf
        self._in_a_row = self._unauthorised = 0
        self._waiting: PictureMissed | None = None
        self._wait_until_s = 0.0

    def clear(self, now_s: float) -> None:
        """A picture came."""
        self._since_s, self._in_a_row, self._unauthorised, self._waiting = now_s, 0, 0, None

    def add(self, missed: PictureMissed, now_s: float) -> None:
        """Count a miss. Raises SourceFault when the camera has failed for so long that it is lost."""
        self._since_s = min(self._since_s, now_s)
        self._in_a_row += 1
        self._unauthorised = self._unauthorised + 1 if missed.reason == "unauthorised" else 0
        if missed.wait_s > 0:
            self._waiting, self._wait_until_s = PictureMissed(missed.reason, missed.why), now_s + missed.wait_s
        for_s = now_s - self._since_s
        if self._unauthorised >= MAX_UNAUTHORISED or (
            for_s >= self._lost_after_s and self._in_a_row >= MIN_MISSES_LOST
        ):
            why = f"{missed.why} (no picture for {for_s:.0f} s, {self._in_a_row} requests: lost_after_ms)"
            raise SourceFault(why, missed.wait_s)

    def check_wait(self, now_s: float) -> None:
        """Raises PictureMissed while the camera asked to be left alone (Retry-After).

        Such a turn has no picture and no request: it does not make the camera a lost one.
        """
        if self._waiting is not None and now_s < self._wait_until_s:
            raise self._waiting
        self._waiting = None


def picture_of(answer: Answer, body: bytes) -> bytes:
    """The picture of a whole body. Raises PictureMissed where it is none, or not all of one."""
    if not body.strip():
        raise PictureMissed("empty", "its answer is empty")
    picture = answers.unwrapped(body)
    if not answers.is_picture(picture):
        page = answers.page_type(picture)
        called = answer.declared_type or "nothing"
        if page:
            name = page if called == page else f"{page} (called {called})"
            raise PictureMissed("no_picture", f"it answers with {name}, which is neither an image nor a stream")
        if not called.startswith("image/"):
            raise PictureMissed("no_picture", f"its answer of {len(body)} bytes (called {called}) is no picture")
    missing = answers.missing_part(picture)
    if missing == "rows" or (missing == "end" and not has_all_rows(picture)):
        raise PictureMissed("cut", f"its picture of {len(picture)} bytes is not whole")
    return picture
