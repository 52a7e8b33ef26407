"""One camera from its capture process to the buffer: opened, watched, killed when it hangs, opened again."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from infra.process import logs, metrics
from infra.process.lifecycle import Stop
from infra.settings import CameraSettings
from ingest.camera.backoff import Backoff
from ingest.camera.spec import CameraSpec
from ingest.capture.child import CaptureChild
from ingest.capture.wire import Message, Task, Tell, WireError
from ingest.sources.sampling import stall_limit_s
from schemas.records import Encoding

log = logs.get(__name__)

READ_TIMEOUT_S = 0.25
# Starting an interpreter and OpenCV on a loaded machine, and HTTP's first question before the stream itself.
START_GRACE_S = 15.0


@dataclass(frozen=True, slots=True)
class Captured:
    """A frame that is to be published; it gets its number when its turn comes, so that numbers have no gaps."""

    feed: "Feed"
    stream_epoch: int
    captured_at: int
    received_at: int
    encoding: Encoding
    image: bytes
    name: str


# Where a feed puts its frames; may wait for room.
Outlet = Callable[[Captured], None]


class State(StrEnum):
    STARTING = "starting"
    UP = "up"
    DOWN = "down"
    ENDED = "ended"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class End:
    """How one capture process ended; `reason` is a label of the reconnect metric."""

    reason: str
    why: str = ""


ENDED = End("ended")
STOPPED = End("stopped")


class Feed(threading.Thread):
    """Promises a new, larger `stream_epoch` whenever the source was opened, and never two processes at a time.

    A live source is tried for ever. A finite one goes on behind its last frame, and is DEAD after `max_failures` in a
    row; a frame in between is no recovery, for a broken file gives some before every crash.
    """

    def __init__(
        self, spec: CameraSpec, settings: CameraSettings, max_image_bytes: int, outlet: Outlet, stop: Stop
    ) -> None:
        super().__init__(name=f"feed-{spec.source_id}", daemon=True)
        self.spec = spec
        self.state = State.STARTING
        self.why = ""
        self.refused = 0
        self.failures = 0
        self.captured = 0
        self._dropped: Counter[str] = Counter()
        self._dropping = threading.Lock()
        self._settings, self._max_image_bytes = settings, max_image_bytes
        self._outlet, self._stop_flag = outlet, stop
        self._backoff = Backoff(
            settings.backoff_initial_ms / 1000, settings.backoff_max_ms / 1000, settings.healthy_after_ms / 1000
        )
        self._epoch = 0
        self._delivered_index = 0
        self._session = _Session()

    def run(self) -> None:
        """Session after session, until the source ends, is given up, or the agent stops."""
        try:
            while not self._stop_flag.is_set() and self.state not in (State.ENDED, State.DEAD):
                self._after(self._capture())
        except BaseException as error:  # noqa: BLE001 - a defect: the agent ends with it
            self._stop_flag.set(error)
        finally:
            metrics.CAMERA_UP.labels(self.spec.source_id).set(0)

    def _capture(self) -> End:
        """One capture process, from its start to its end."""
        self._session = _Session(base_index=0 if self.spec.source.live else self._delivered_index)
        try:
            started = CaptureChild(self._task(), self._max_image_bytes + 1024)
        except OSError as error:
            return End("crashed", f"no capture process can be started: {error.strerror}")
        with started as child:
            try:
                return self._watch(child)
            except EOFError:
                return End("crashed", child.cause_of_death())
            except WireError as error:
                return End("crashed", f"the capture process sent garbage: {error}")

    def _watch(self, child: CaptureChild) -> End:
        session = self._session
        while not self._stop_flag.is_set():
            message = child.read(READ_TIMEOUT_S)
            now_s = time.monotonic()
            if message is not None:
                end = self._on_message(message, child)
                if end is not None:
                    return end
                now_s = time.monotonic()  # a finite source may have waited long for room
            if message is not None and message.tell != Tell.STATS:
                session.last_sign_s = now_s
            elif now_s - session.last_sign_s > session.silence_limit_s(self._settings.open_timeout_ms):
                return End("stalled", f"no frame for {now_s - session.last_sign_s:.0f} s")
        return STOPPED

    def _on_message(self, message: Message, child: CaptureChild) -> End | None:
        meta = message.meta
        match message.tell:
            case Tell.OPENED:
                self._opened(meta)
            case Tell.FRAME:
                self._frame(meta, message.body)
            case Tell.STATS:
                self._stats(meta)
            case Tell.REFUSED:
                self._refused(meta)
            case Tell.FAILED:
                words = child.last_words() if not self._session.opened_s else []
                return End("failed", ": ".join([str(meta["why"]), *words]))
            case Tell.ENDED:
                return ENDED
        return None

    def _opened(self, meta: dict[str, Any]) -> None:
        self._epoch = max(time.time_ns() // 1_000_000, self._epoch + 1)
        self._session.opened_s = time.monotonic()
        self._session.stall_s = stall_limit_s(float(meta["expected_per_s"]), self._settings.read_timeout_ms)
        log.info(
            "camera opened", source_id=self.spec.source_id, source=self.spec.source.shown, stream_epoch=self._epoch
        )

    def _frame(self, meta: dict[str, Any], image: bytes) -> None:
        if self.state != State.UP:
            self.state, self.why = State.UP, ""
            metrics.CAMERA_UP.labels(self.spec.source_id).set(1)
        self._count_captured(int(meta["index"]))
        received_at = time.time_ns() // 1000
        encoding, name = Encoding(meta["encoding"]), str(meta["name"])
        self._outlet(Captured(self, self._epoch, int(meta["captured_at"]), received_at, encoding, image, name))
        self._delivered_index = self._session.base_index + int(meta["index"])

    def _refused(self, meta: dict[str, Any]) -> None:
        self.refused += 1
        self.drop(str(meta["reason"]))
        self._delivered_index = self._session.base_index + int(meta["index"])
        log.error(
            "image refused",
            source_id=self.spec.source_id,
            image=meta["name"],
            reason=meta["reason"],
            detail=meta["detail"],
        )

    def _stats(self, meta: dict[str, Any]) -> None:
        """Counts come as totals of one process; the metrics are totals of the agent."""
        self._session.skips(int(meta["skipped"]))
        self._count_captured(int(meta["captured"]))
        for reason, total in meta["dropped"].items():
            self.drop(reason, int(total) - self._session.dropped.get(reason, 0))
            self._session.dropped[reason] = int(total)

    def _count_captured(self, total: int) -> None:
        new = total - self._session.captured
        if new > 0:
            self._session.last_sign_s = time.monotonic()
            self._session.captured = total
            self.captured += new
            metrics.FRAMES_CAPTURED.labels(self.spec.source_id).inc(new)

    def drop(self, reason: str, count: int = 1) -> None:
        """Count frames that will not be published; from any thread."""
        if count:
            with self._dropping:
                self._dropped[reason] += count
            metrics.FRAMES_DROPPED.labels(self.spec.source_id, reason).inc(count)

    def dropped(self) -> Counter[str]:
        """Frames by the reason why they were not published, so far."""
        with self._dropping:
            return self._dropped.copy()

    def _after(self, end: End) -> None:
        """What follows from the end of a session: the end of all, or a wait before the next."""
        if end in (ENDED, STOPPED):
            self.state = State.ENDED if end is ENDED else self.state
            log.info("camera " + end.reason, source_id=self.spec.source_id, captured=self.captured)
            return
        self.why = end.why
        healthy_s = self._session.healthy_s()
        self.failures = 1 if healthy_s * 1000 >= self._settings.healthy_after_ms else self.failures + 1
        metrics.CAMERA_UP.labels(self.spec.source_id).set(0)
        if not self.spec.source.live and self.failures >= self._settings.max_failures:
            self.state = State.DEAD
            log.error("source given up", source_id=self.spec.source_id, failures=self.failures, why=end.why)
            return
        self.state = State.DOWN
        metrics.CAMERA_RECONNECTS.labels(self.spec.source_id, end.reason).inc()
        delay_s = self._backoff.failed(healthy_s)
        log.warning(
            "camera lost", source_id=self.spec.source_id, reason=end.reason, why=end.why, again_in_s=round(delay_s, 1)
        )
        self._stop_flag.wait(delay_s)

    def _task(self) -> Task:
        spec, settings = self.spec, self._settings
        return Task(
            kind=spec.source.kind,
            address=spec.source.address,
            fps=spec.fps,
            loop=spec.loop,
            jpeg_quality=spec.jpeg_quality,
            open_timeout_ms=settings.open_timeout_ms,
            read_timeout_ms=settings.read_timeout_ms,
            max_image_bytes=self._max_image_bytes,
            skip_frames=self._session.base_index,
        )


class _Session:
    """The state of one capture process; `base_index` frames were delivered by earlier ones."""

    def __init__(self, base_index: int = 0) -> None:
        self.base_index = base_index
        self.opened_s = 0.0
        self.stall_s = 0.0
        self.last_sign_s = time.monotonic()
        self.captured = 0
        self.skipped = 0
        self.dropped: dict[str, int] = {}

    def skips(self, total: int) -> None:
        """Passing over frames is life but no health: a process that crashes on the next one got there too."""
        if total > self.skipped:
            self.skipped = total
            self.opened_s = self.last_sign_s = time.monotonic()

    def silence_limit_s(self, open_timeout_ms: int) -> float:
        return self.stall_s if self.opened_s else START_GRACE_S + open_timeout_ms / 1000

    def healthy_s(self) -> float:
        """From opening to the last sign of life: waiting for a watchdog is no health."""
        return max(0.0, self.last_sign_s - self.opened_s) if self.opened_s and self.captured else 0.0
