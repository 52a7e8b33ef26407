"""The parts that hold several feeds together: what to publish next, when to stop, how it stands, how it ended."""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator

from infra.kafka.publisher import Publisher
from infra.process import logs, metrics
from infra.process.health import Probe
from infra.process.lifecycle import STOP_BUDGET_S, Deadline, Stop
from ingest.camera.buffer import FrameBuffer
from ingest.camera.feed import Captured, Feed, Outlet, State
from ingest.publish.outbox import Outbox
from schemas.errors import SightlineError

log = logs.get(__name__)

TAKE_TIMEOUT_S = 0.25
REPORT_PERIOD_S = 5.0
REPORTS_PER_LOG_LINE = 6
# Of the stop budget, what the flush gets at least when the buffer drains slowly.
FLUSH_SHARE_S = 4.0
NAMED_FAULTS = 10
# Room that came and went within this time is one shortage, and told of once.
SHORTAGE_S = 60.0
# What was asked for (camera.fps) is no loss.
WANTED = "rate_limit"


def outlet(buffer: FrameBuffer[Captured], clock: Callable[[], float] = time.monotonic) -> Outlet:
    """The way into the buffer; counts what a new frame pushed out, and warns when that begins."""
    known_until_s = -math.inf

    def put(captured: Captured) -> None:
        nonlocal known_until_s
        lost = buffer.put(captured.feed.spec.source_id, captured, len(captured.image))
        for one in lost:
            one.feed.drop("buffer_full")
        if lost:
            now_s = clock()
            if now_s > known_until_s:
                log.warning(
                    "buffer full, losing the oldest frames until Kafka takes more",
                    source_id=lost[0].feed.spec.source_id,
                )
            known_until_s = now_s + SHORTAGE_S

    return put


class StopBudget:
    """Time left to deliver, counted from the moment that `stop` was set; without end before."""

    def __init__(self, stop: Stop, publish_s: float = STOP_BUDGET_S - FLUSH_SHARE_S) -> None:
        self._stop, self._publish_s = stop, publish_s
        self._whole: Deadline | None = None
        self._publishing: Deadline | None = None

    def stopping(self) -> bool:
        if self._stop.is_set() and self._whole is None:
            self._whole, self._publishing = Deadline(STOP_BUDGET_S), Deadline(self._publish_s)
        return self._whole is not None

    def over(self) -> bool:
        """Whether publishing has to end."""
        return self.stopping() and self._publishing is not None and self._publishing.expired()

    def remaining_s(self) -> float | None:
        """For the flush; None while nothing stops the agent."""
        return self._whole.remaining_s() if self.stopping() and self._whole is not None else None


def frames(
    buffer: FrameBuffer[Captured], feeds: list[Feed], budget: StopBudget, report: "Reporter"
) -> Iterator[Captured]:
    """What to publish next, until all feeds have ended and the buffer is empty, or the budget is over."""
    while not budget.over():
        report.tick()
        capturing = any(feed.is_alive() for feed in feeds)  # asked before taking: the last frame is not missed
        if budget.stopping():
            buffer.close()
        captured = buffer.take(TAKE_TIMEOUT_S)
        if captured is not None:
            yield captured
        elif not capturing:
            return


def settle(publisher: Publisher, budget: StopBudget) -> None:
    """Wait for the delivery reports: for as long as it takes, or for what a stop leaves of its budget."""
    while budget.remaining_s() is None and publisher.flush(TAKE_TIMEOUT_S) and not publisher.fatal:
        pass
    publisher.close(budget.remaining_s() or 0.0)


def probes(publisher: Publisher, feeds: list[Feed]) -> tuple[Probe, Probe]:
    """Live: nothing is beyond repair. Ready: at least one source delivers or has delivered."""

    def live() -> str | None:
        return f"Kafka's client gave up: {publisher.fatal}" if publisher.fatal else None

    def ready() -> str | None:
        if any(feed.state in (State.UP, State.ENDED) for feed in feeds):
            return live()
        states = (f"{feed.spec.source_id} is {feed.state} {feed.why}".strip() for feed in feeds[:NAMED_FAULTS])
        return "no frames yet: " + "; ".join(states)

    return live, ready


class Reporter:
    """Rates into the metrics every few seconds, and now and then one line into the log."""

    def __init__(
        self,
        feeds: list[Feed],
        outbox: Outbox,
        buffer: FrameBuffer[Captured],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._feeds, self._outbox, self._buffer, self._clock = feeds, outbox, buffer, clock
        self._since_s = clock()
        self._reports = 0
        self._delivered = dict.fromkeys((feed.spec.source_id for feed in feeds), 0)

    def tick(self) -> None:
        """Report if it is time to."""
        if self._clock() - self._since_s >= REPORT_PERIOD_S:
            self._reports += 1
            self._report("publishing", aloud=self._reports % REPORTS_PER_LOG_LINE == 0)

    def close(self) -> None:
        """The last line."""
        self._report("published", aloud=True)

    def _report(self, event: str, aloud: bool) -> None:
        now_s = self._clock()
        elapsed_s, self._since_s = max(0.001, now_s - self._since_s), now_s
        total_per_s = 0.0
        for source_id, before in self._delivered.items():
            delivered = self._outbox.delivered[source_id]
            per_s = (delivered - before) / elapsed_s
            total_per_s += per_s
            self._delivered[source_id] = delivered
            metrics.CAMERA_FPS.labels(source_id).set(per_s)
        metrics.BUFFER_BYTES.set(self._buffer.held_bytes())
        up = sum(feed.state == State.UP for feed in self._feeds)
        log.log(
            logging.INFO if aloud else logging.DEBUG,
            event,
            cameras_up=f"{up}/{len(self._feeds)}",
            frames=self._outbox.delivered.total(),
            frames_per_s=round(total_per_s, 1),
            waiting=sum(self._buffer.held_frames().values()),
            failed=self._outbox.failed.total(),
            dropped=dict(sum((feed.dropped() for feed in self._feeds), Counter())),
        )


def raise_losses(feeds: list[Feed], outbox: Outbox, buffer: FrameBuffer[Captured]) -> None:
    """Raises SightlineError when a finite source is not wholly on the topic; logs what a live one lost at the end.

    Names as well what each source dropped on the way, by reason.
    """
    faults = []
    held = buffer.held_frames()
    for feed in feeds:
        dropped = {reason: count for reason, count in feed.dropped().items() if reason != WANTED}
        if dropped:
            log.warning("frames dropped", source_id=feed.spec.source_id, frames=dropped)
        found = _losses(feed, outbox.undelivered(feed.spec.source_id) + held[feed.spec.source_id])
        if found and feed.spec.source.live:
            log.warning("frames lost", source_id=feed.spec.source_id, why=", ".join(found))
        elif found:
            faults.append(f"{feed.spec.source_id}: {', '.join(found)}")
    if faults:
        more = f"; and {len(faults) - NAMED_FAULTS} sources more" if len(faults) > NAMED_FAULTS else ""
        raise SightlineError("not everything was published: " + "; ".join(faults[:NAMED_FAULTS]) + more)


def _losses(feed: Feed, undelivered: int) -> list[str]:
    found = []
    if feed.state == State.DEAD:
        found.append(f"given up after {feed.failures} failures in a row ({feed.why})")
    if undelivered:
        found.append(f"{undelivered} frames were not delivered")
    if feed.refused:
        found.append(f"{feed.refused} images were refused, the log says which and why")
    return found
