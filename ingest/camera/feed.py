"""One camera, from its capture process to the buffer: opened, watched, ended when it hangs, opened again."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from infra.process import camera_metrics, logs, metrics
from infra.process.lifecycle import Stop
from infra.settings import CameraSettings
from ingest.camera.backoff import MIN_DELAY_S, Backoff
from ingest.camera.company import Company
from ingest.camera.duty import is_on_duty, tell_up
from ingest.camera.frozen import FrozenPicture
from ingest.camera.outgoing import outgoing_frame
from ingest.camera.seat_end import end_of_pipe, ended_for_another
from ingest.camera.session import CaptureSession
from ingest.camera.session_end import ENDED, MOVED, OFF, STOPPED, FeedState, SessionEnd
from ingest.camera.spec import CameraSpec
from ingest.camera.task import capture_task
from ingest.camera.vitals import Vitals
from ingest.capture.groups import CaptureGroups, Seat
from ingest.capture.wire import CaptureMessage, MessageKind, WireError
from ingest.publish.drops import DropCounts
from ingest.publish.frame import OutgoingFrame
from ingest.sources.advice import advice
from ingest.sources.sampling import failing_after_s, stall_limit_s
from ingest.sources.task import CaptureTask

log = logs.get(__name__)

READ_TIMEOUT_S = 0.25
# How often a feed that rests looks at the clock.
REST_S = 1.0
JUMPS = "jumps"

# Where a feed puts its frames. The call may wait for room.
PutFrame = Callable[[OutgoingFrame], None]
# Called with the source id and whether the source is live.
SetLive = Callable[[str, bool], None]


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
        self._frozen = FrozenPicture(spec.pictures.frozen_after_ms / 1000)
        self._failing_reason = ""
        self._after_feed = after
        self._groups = groups or CaptureGroups()
        self._company = Company(self._groups.group_size)
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
                self._after(self._capture() if is_on_duty(self.spec) else OFF)
        except BaseException as error:  # noqa: BLE001 - a defect: the whole agent ends with it
            self._stop_flag.set(error)
        finally:
            tell_up(self.spec, self.state, 0)

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
            seat = self._groups.seat(self.spec.source_id, self._task(), self._company.size)
        except OSError as error:
            return SessionEnd("crashed", f"no capture process can be started: {error.strerror}")
        with seat:
            try:
                end = self._watch(seat)
            except EOFError:
                end = end_of_pipe(seat)
            except WireError as error:
                seat.end_process()
                end = SessionEnd("crashed", f"the capture process sent garbage: {error}")
            healthy, opened = self._is_healthy(), self._session.opened
            return self._company.after(
                end, opened=opened, healthy=healthy, shared=seat.is_shared, capacity=seat.capacity
            )

    def _is_healthy(self) -> bool:
        return self._session.healthy_s() * 1000 >= self._settings.healthy_after_ms

    def _watch(self, seat: Seat) -> SessionEnd:
        session = self._session
        while not self._stop_flag.is_set():
            if not is_on_duty(self.spec):
                return OFF
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
                return ended_for_another(seat) or SessionEnd("stalled", f"no frame for {session.silent_s(now_s):.0f} s")
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
                why = self._with_advice(": ".join([meta["why"], *words]))
                return SessionEnd("failed", why, float(meta["wait_s"]))
            case MessageKind.ENDED:
                return ENDED
        return None

    def _on_opened(self, meta: dict[str, Any]) -> None:
        self._epoch = max(time.time_ns() // 1_000_000, self._epoch + 1)
        self._session.open(time.monotonic(), stall_limit_s(float(meta["expected_per_s"]), float(meta["patience_s"])))
        self._frozen.forget()
        self.vitals.opened(float(meta["expected_per_s"]))
        self.live = bool(meta["live"])
        self._set_live(self.spec.source_id, self.live)
        log.info(
            "camera opened", source_id=self.spec.source_id, source=self.spec.source.shown, stream_epoch=self._epoch
        )

    def _on_frame(self, meta: dict[str, Any], image: bytes) -> None:
        same_s = self._frozen.same_s(hash(image), time.monotonic()) if self.live else 0.0
        state = FeedState.FROZEN if same_s else FeedState.UP
        if self.state != state:
            self._on_picture(state, same_s)
        self._count_captured(int(meta["index"]))
        self.vitals.frame(time.monotonic())
        max_age_ms = self._settings.max_frame_age_ms if self.live else 0
        self._put(outgoing_frame(self.spec, self._epoch, meta, image, max_age_ms, live=self.live))
        self._delivered_index = self._session.base_index + int(meta["index"])

    def _on_picture(self, state: FeedState, same_s: float) -> None:
        """The camera gives pictures; that they are always the same is no outage, and nothing is opened again."""
        if state == FeedState.FROZEN:
            self.why = f"the same picture for {same_s:.0f} s (frozen_after_ms)"
            log.warning("camera frozen", source_id=self.spec.source_id, why=self.why)
        else:
            self.why = ""
            if self.state in (FeedState.FAILING, FeedState.FROZEN):
                log.info("camera gives pictures again", source_id=self.spec.source_id)
        self.state = state
        tell_up(self.spec, self.state, 1)

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
        tell_up(self.spec, self.state, 0)

    def _with_advice(self, why: str) -> str:
        return "; ".join(filter(None, [why, advice(why, self.spec.connection)]))

    def _on_stats(self, meta: dict[str, Any]) -> None:
        """The message has totals of one process; the metrics are totals of the agent."""
        self._session.skipped(int(meta["skipped"]), time.monotonic())
        self._count_captured(int(meta["captured"]))
        if jumps := self._session.newly_counted(JUMPS, int(meta[JUMPS])):
            camera_metrics.CAMERA_TIME_JUMPS.labels(metrics.SOURCE_LABEL(self.spec.source_id)).inc(jumps)
            log.warning("the time stamps of a camera jumped: it is read on", source_id=self.spec.source_id)
        for reason, total in meta["dropped"].items():
            new = self._session.newly_counted(reason, int(total))
            self._drops.add(self.spec.source_id, reason, new)
            if reason == "unchanged" and new:
                self.vitals.frame(time.monotonic(), new)

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
        if end is OFF:
            self._rest()
            return
        self.why = end.why
        healthy_s = self._session.healthy_s()
        is_own_fault = end.reason != "group"
        self.failures = 1 if is_own_fault and self._is_healthy() else self.failures + is_own_fault
        tell_up(self.spec, self.state, 0)
        if not self.live and self.failures >= self._settings.max_failures:
            self.state = FeedState.DEAD
            log.error("source given up", source_id=self.spec.source_id, failures=self.failures, why=end.why)
            return
        self.state = FeedState.DOWN
        self.vitals.lost(time.monotonic(), stalled=end.reason == "stalled")
        camera_metrics.CAMERA_RECONNECTS.labels(metrics.SOURCE_LABEL(self.spec.source_id), end.reason).inc()
        delay_s = max(self._backoff.failed(healthy_s), end.wait_s) if is_own_fault else MIN_DELAY_S
        log.log(
            logging.INFO if self.spec.expected_offline else logging.WARNING,
            "camera lost",
            source_id=self.spec.source_id,
            reason=end.reason,
            why=end.why,
            again_in_s=round(delay_s, 1),
        )
        self._stop_flag.wait(delay_s)

    def _rest(self) -> None:
        """Wait a little: the camera is outside its hours."""
        if self.state != FeedState.OFF:
            log.info("camera off: it is outside its active_hours", source_id=self.spec.source_id)
        self.state, self.why = FeedState.OFF, "outside its active_hours"
        tell_up(self.spec, self.state, 0)
        self._stop_flag.wait(REST_S)

    def _task(self) -> CaptureTask:
        return capture_task(self.spec, self._max_image_bytes, self._session.base_index)
