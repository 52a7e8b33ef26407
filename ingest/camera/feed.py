"""One camera, from its capture process to the buffer: opened, watched, ended when it hangs, opened again."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from infra.process import camera_metrics, logs, metrics
from infra.process.lifecycle import Stop
from infra.settings import CameraSettings
from ingest.camera.backoff import MIN_DELAY_S, Backoff
from ingest.camera.session import CaptureSession
from ingest.camera.spec import CameraSpec
from ingest.camera.vitals import Vitals
from ingest.capture.groups import CaptureGroups, Seat
from ingest.capture.wire import CaptureMessage, MessageKind, WireError
from ingest.publish.drops import DropCounts
from ingest.publish.frame import OutgoingFrame
from ingest.sources.advice import advice
from ingest.sources.sampling import failing_after_s, stall_limit_s
from ingest.sources.task import CaptureTask
from schemas.records import Encoding, SourceKind

log = logs.get(__name__)

READ_TIMEOUT_S = 0.25

# Where a feed puts its frames. The call may wait for room.
PutFrame = Callable[[OutgoingFrame], None]
# Called with the source id and whether the source is live.
SetLive = Callable[[str, bool], None]


class FeedState(StrEnum):
    STARTING = "starting"
    UP = "up"
    FAILING = "failing"
    DOWN = "down"
    ENDED = "ended"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """How one capture process ended. `reason` is a label of the reconnect metric, `why` a sentence.

    `wait_s`: how long the camera asked to be left alone.
    """

    reason: str
    why: str = ""
    wait_s: float = 0.0


ENDED = SessionEnd("ended")
STOPPED = SessionEnd("stopped")
# It is opened again at once, in a process of its own.
MOVED = SessionEnd("moved")
# Around an image in a message.
ENVELOPE_BYTES = 1024


class Feed(threading.Thread):
    """Has the source read in a capture process, alone or with others; each opening begins a new, larger `stream_epoch`.

    A live source is tried for ever. A finite one continues after its last frame, and is DEAD after `max_failures` in a
    row. A frame in between does not end the row: a broken file gives some frames before every crash.

    A camera that is open and whose answers bring no picture is FAILING after `failing_after_s`; its process goes on.
    `set_live` is called when the source turns out to be live or finite: of an HTTP address only its answer tells.
    `after`: an earlier feed of the same source, whose end is waited for.
    """

    def __init__(
        self,
        spec: CameraSpec,
        settings: CameraSettings,
        max_image_bytes: int,
        put: PutFrame,
        drops: DropCounts,
        stop: Stop,
        set_live: SetLive = lambda _source_id, _live: None,
        *,
        after: "Feed | None" = None,
        groups: CaptureGroups | None = None,
    ) -> None:
        super().__init__(name=f"feed-{spec.source_id}", daemon=True)
        self.spec = spec
        self.state = FeedState.STARTING
        self.why = ""
        self.refused = 0
        self.failures = 0
        self.captured = 0
        self.live = spec.source.live
        self.vitals = Vitals(spec.fps)
        self._failing_reason = ""
        self._after_feed = after
        self._groups = groups or CaptureGroups()
        self._company = self._groups.group_size
        self._set_live = set_live
        self._settings, self._max_image_bytes = settings, max_image_bytes
        self._put, self._drops, self._stop_flag = put, drops, stop
        self._backoff = Backoff(
            settings.backoff_initial_ms / 1000, settings.backoff_max_ms / 1000, settings.healthy_after_ms / 1000
        )
        self._epoch = 0
        self._delivered_index = 0
        self._session = CaptureSession(time.monotonic())

    def run(self) -> None:
        """Run capture processes until the source ends, is given up, or the agent stops."""
        try:
            self._await_former()
            while not self._stop_flag.is_set() and self.state not in (FeedState.ENDED, FeedState.DEAD):
                self._after(self._capture())
        except BaseException as error:  # noqa: BLE001 - a defect: the whole agent ends with it
            self._stop_flag.set(error)
        finally:
            camera_metrics.CAMERA_UP.set(self.spec.source_id, 0)

    def _await_former(self) -> None:
        """An earlier feed of this camera has to end first, so that frames and epochs of both do not mix."""
        former, self._after_feed = self._after_feed, None
        if former is not None:
            former.join()
            self._epoch = former._epoch

    def _capture(self) -> SessionEnd:
        """Read the source from its opening to its end."""
        base_index = 0 if self.live else self._delivered_index
        self._session = CaptureSession(time.monotonic(), base_index)
        try:
            seat = self._groups.seat(
                self.spec.source_id, self._task(), self._company, self._max_image_bytes + ENVELOPE_BYTES
            )
        except OSError as error:
            return SessionEnd("crashed", f"no capture process can be started: {error.strerror}")
        with seat:
            try:
                end = self._watch(seat)
            except EOFError:
                end = self._on_death(seat)
            except WireError as error:
                seat.end_process()
                end = SessionEnd("crashed", f"the capture process sent garbage: {error}")
            return self._placed(seat, end)

    def _on_death(self, seat: Seat) -> SessionEnd:
        """The source's pipe is closed: its process is gone, or only the reading of this source."""
        if end := _ended_for_another(seat):
            return end
        if not seat.died() and seat.is_shared:
            return MOVED
        return SessionEnd("crashed", seat.cause_of_death())

    def _placed(self, seat: Seat, end: SessionEnd) -> SessionEnd:
        """Decide with how many others the source is read next.

        Alone where it hung, or did not open: its process then tells why, and nobody waits for it. A process that
        crashed is shared by half as many from now on, so that whoever crashes it is soon alone. A camera that was
        healthy may have company again.
        """
        if self._is_healthy():
            self._company = self._groups.group_size
        if seat.is_shared and end.reason == "crashed" and end is not MOVED:
            self._company = max(1, seat.capacity // 2)
        if end.reason == "stalled" or end is MOVED:
            self._company = 1
        if end.reason == "failed" and not self._session.opened:
            self._company = 1
            return MOVED if seat.is_shared else end
        return end

    def _is_healthy(self) -> bool:
        return self._session.healthy_s() * 1000 >= self._settings.healthy_after_ms

    def _watch(self, seat: Seat) -> SessionEnd:
        session = self._session
        while not self._stop_flag.is_set():
            message = seat.read(READ_TIMEOUT_S)
            if message is not None:
                end = self._on_message(message, seat)
                if end is not None:
                    return end
            now_s = time.monotonic()  # read after the message: a finite source may have waited long for room
            if message is not None and message.kind == MessageKind.MISSED:
                self._on_missed(message.meta, now_s)
            elif message is not None and message.kind != MessageKind.STATS:
                session.sign_of_life(now_s)
            elif session.is_stalled(now_s, self.spec.timeouts.open_timeout_ms):
                seat.end_process()
                return _ended_for_another(seat) or SessionEnd(
                    "stalled", f"no frame for {session.silent_s(now_s):.0f} s"
                )
        return STOPPED

    def _on_message(self, message: CaptureMessage, seat: Seat) -> SessionEnd | None:
        meta = message.meta
        match message.kind:
            case MessageKind.OPENED:
                self._on_opened(meta)
            case MessageKind.FRAME:
                self._on_frame(meta, message.body)
            case MessageKind.STATS:
                self._on_stats(meta)
            case MessageKind.REFUSED:
                self._on_refused(meta)
            case MessageKind.FAILED:
                words = [] if self._session.opened else seat.last_words()
                return SessionEnd("failed", self._with_advice(": ".join([meta["why"], *words])), float(meta["wait_s"]))
            case MessageKind.ENDED:
                return ENDED
        return None

    def _on_opened(self, meta: dict[str, Any]) -> None:
        self._epoch = max(time.time_ns() // 1_000_000, self._epoch + 1)
        self._session.open(time.monotonic(), stall_limit_s(float(meta["expected_per_s"]), float(meta["patience_s"])))
        self.vitals.opened(float(meta["expected_per_s"]))
        self.live = bool(meta["live"])
        self._set_live(self.spec.source_id, self.live)
        log.info(
            "camera opened", source_id=self.spec.source_id, source=self.spec.source.shown, stream_epoch=self._epoch
        )

    def _on_frame(self, meta: dict[str, Any], image: bytes) -> None:
        if self.state != FeedState.UP:
            if self.state == FeedState.FAILING:
                log.info("camera gives pictures again", source_id=self.spec.source_id)
            self.state, self.why = FeedState.UP, ""
            camera_metrics.CAMERA_UP.set(self.spec.source_id, 1)
        self._count_captured(int(meta["index"]))
        self.vitals.frame(time.monotonic())
        self._put(self._outgoing(meta, image))
        self._delivered_index = self._session.base_index + int(meta["index"])

    def _outgoing(self, meta: dict[str, Any], image: bytes) -> OutgoingFrame:
        captured_at, name = int(meta["captured_at"]), str(meta["name"])
        max_age_us = self._settings.max_frame_age_ms * 1000
        return OutgoingFrame(
            source_id=self.spec.source_id,
            source_kind=SourceKind.CAMERA,
            stream_epoch=self._epoch,
            captured_at=captured_at,
            received_at=time.time_ns() // 1000,
            encoding=Encoding(meta["encoding"]),
            image=image,
            uri=self.spec.source.shown,
            attributes={"file": name} if name else {},
            expires_at=captured_at + max_age_us if self.live and max_age_us else None,
        )

    def _on_refused(self, meta: dict[str, Any]) -> None:
        self.refused += 1
        self._drops.add(self.spec.source_id, str(meta["reason"]))
        self._delivered_index = self._session.base_index + int(meta["index"])
        log.error(
            "image refused",
            source_id=self.spec.source_id,
            image=meta["name"],
            reason=meta["reason"],
            detail=meta["detail"],
        )

    def _on_missed(self, meta: dict[str, Any], now_s: float) -> None:
        """One bad answer costs one picture; the camera is failing when they go on. STATS counts them by reason."""
        self._session.missed(now_s)
        if self._session.without_picture_s(now_s) < failing_after_s(self.spec.fps):
            return
        reason, why = str(meta["reason"]), self._with_advice(str(meta["why"]))
        if self.state != FeedState.FAILING or reason != self._failing_reason:
            log.warning("camera failing", source_id=self.spec.source_id, reason=reason, why=why)
        self.state, self.why, self._failing_reason = FeedState.FAILING, why, reason
        camera_metrics.CAMERA_UP.set(self.spec.source_id, 0)

    def _with_advice(self, why: str) -> str:
        return "; ".join(filter(None, [why, advice(why, self.spec.connection)]))

    def _on_stats(self, meta: dict[str, Any]) -> None:
        """The message has totals of one process; the metrics are totals of the agent."""
        self._session.skipped(int(meta["skipped"]), time.monotonic())
        self._count_captured(int(meta["captured"]))
        for reason, total in meta["dropped"].items():
            self._drops.add(self.spec.source_id, reason, self._session.newly_dropped(reason, int(total)))

    def _count_captured(self, total: int) -> None:
        new = self._session.newly_captured(total, time.monotonic())
        if new:
            self.captured += new
            metrics.FRAMES_CAPTURED.labels(metrics.SOURCE_LABEL(self.spec.source_id)).inc(new)

    def _after(self, end: SessionEnd) -> None:
        """Decide what follows from the end of a capture process: nothing more, or a wait before the next one."""
        if end in (ENDED, STOPPED):
            self.state = FeedState.ENDED if end is ENDED else self.state
            log.info("camera " + end.reason, source_id=self.spec.source_id, captured=self.captured)
            return
        if end is MOVED:
            return
        self.why = end.why
        healthy_s = self._session.healthy_s()
        is_own_fault = end.reason != "group"
        self.failures = 1 if is_own_fault and self._is_healthy() else self.failures + is_own_fault
        camera_metrics.CAMERA_UP.set(self.spec.source_id, 0)
        if not self.live and self.failures >= self._settings.max_failures:
            self.state = FeedState.DEAD
            log.error("source given up", source_id=self.spec.source_id, failures=self.failures, why=end.why)
            return
        self.state = FeedState.DOWN
        self.vitals.lost(time.monotonic(), stalled=end.reason == "stalled")
        camera_metrics.CAMERA_RECONNECTS.labels(metrics.SOURCE_LABEL(self.spec.source_id), end.reason).inc()
        delay_s = max(self._backoff.failed(healthy_s), end.wait_s) if is_own_fault else MIN_DELAY_S
        log.warning(
            "camera lost", source_id=self.spec.source_id, reason=end.reason, why=end.why, again_in_s=round(delay_s, 1)
        )
        self._stop_flag.wait(delay_s)

    def _task(self) -> CaptureTask:
        spec, timeouts = self.spec, self.spec.timeouts
        return CaptureTask(
            reader=spec.source.reader,
            address=spec.source.address,
            fps=spec.fps,
            loop=spec.loop,
            jpeg_quality=spec.jpeg_quality,
            open_timeout_ms=timeouts.open_timeout_ms,
            read_timeout_ms=timeouts.read_timeout_ms,
            max_image_bytes=self._max_image_bytes,
            skip_frames=self._session.base_index,
            lost_after_ms=timeouts.lost_after_ms,
            connection=spec.connection,
        )


def _ended_for_another(seat: Seat) -> SessionEnd | None:
    other = seat.ended_for()
    return SessionEnd("group", f"its capture process was ended because {other} hung") if other else None
