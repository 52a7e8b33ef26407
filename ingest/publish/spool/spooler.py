"""Which way each frame goes: to Kafka at once, or by way of the disk. Used by one thread.

Frames of live sources go to disk from the moment that one of their source waits too long for its acknowledgement, those
under way first. While frames of a source wait on disk its new ones join them, so that their order stays.
"""

import errno
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from infra.kafka.errors import FaultKind, KafkaFault
from infra.process import logs, metrics
from infra.process.now_and_then import NowAndThen
from infra.process.times import now_us
from ingest.publish.frame import OutgoingFrame, ReadyFrame
from ingest.publish.outbox import TELL_EVERY_S, Outbox
from ingest.publish.spool.disk_queue import DiskQueue
from ingest.publish.spool.entries import Entry
from ingest.publish.token_bucket import TokenBucket
from schemas.errors import Unavailable

log = logs.get(__name__)

# A source's spool is sent at so many times the source's rate: it becomes empty in as long as it took to fill.
CATCH_UP = 2.0
# After a kill -9 the frames that were acknowledged within this time may be sent a second time.
SYNC_EVERY_S = 1.0
LOOK_EVERY_S = 0.25
DRAIN_EVERY_S = 0.05
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(slots=True, eq=False)
class _Flight:
    """A frame that Kafka's client has. `entry` is its copy on disk; without one `ready` is what a copy is made of."""

    ready: ReadyFrame
    sent_s: float
    entry: Entry | None = None
    came_back: bool = False
    over: bool = False


class Spooler:
    """Publishes frames as the outbox does, and loses those of live sources neither to an outage nor to a kill.

    `rate_of` is the number of frames a second that a source makes. `work` is to be called every `pause_s()`.
    """

    def __init__(
        self,
        outbox: Outbox,
        queue: DiskQueue,
        rate_of: Callable[[str], float],
        after_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox, self._queue, self._rate_of, self._after_s, self._clock = outbox, queue, rate_of, after_s, clock
        self._flights: dict[str, deque[_Flight]] = {}
        # Appended to by the client's thread: at most one for each frame in flight.
        self._reports: deque[tuple[_Flight, bool]] = deque()
        self._buckets: dict[str, TokenBucket] = {}
        self._full_since_s: float | None = None
        self._no_registry_until_s = self._look_due_s = self._sync_due_s = 0.0
        self._failures = NowAndThen(TELL_EVERY_S)
        self._spooling: set[str] = set()
        for source_id, frames in queue.frames_by_source().items():
            outbox.add(source_id, frames)

    def publish(self, outgoing: OutgoingFrame, give_up: Callable[[], bool]) -> bool:
        """As `Outbox.publish`. A live frame waits for room for `after_s` at most, before it goes to disk."""
        if not outgoing.live:
            return self._outbox.publish(outgoing, give_up)
        ready = self._outbox.ready(outgoing)
        if ready is None:
            return True
        goes_direct = self._queue.head(ready.source_id) is None and not self._is_stalled(ready.source_id)
        if goes_direct and self._send(_Flight(ready, self._clock()), lambda: give_up() or self._is_full()):
            return True
        self._spool(ready)
        return True

    def is_empty(self) -> bool:
        """Whether no frame waits on disk for being sent."""
        return not self._queue.waiting()

    def has_room(self) -> bool:
        """Whether Kafka's client takes frames now. The frames of a source that can wait do so until it does."""
        return self._outbox.has_room(1)

    def frames(self, source_id: str) -> int:
        """Frames of a source that are on disk."""
        return self._queue.frames(source_id)

    def pause_s(self, longest_s: float) -> float:
        """How long the caller may wait for a frame before it calls `work` again."""
        return longest_s if self.is_empty() else min(longest_s, DRAIN_EVERY_S)

    def work(self) -> None:
        """What is due: settle reports, save what waits too long, send what waits on disk, sync."""
        now_s = self._clock()
        self._settle_reports()
        if now_s >= self._look_due_s:
            self._look_due_s = now_s + LOOK_EVERY_S
            for source_id in list(self._flights):
                if self._is_stalled(source_id):
                    self._hold(source_id)
        self._drain(now_s)
        if now_s >= self._sync_due_s:
            self._sync_due_s = now_s + SYNC_EVERY_S
            self._queue.expire(now_us())
            self._sync()

    def close(self) -> None:
        """Keep on disk what Kafka has not acknowledged, for the next start. Call it when the client has been closed."""
        self._settle_reports()
        for source_id in list(self._flights):
            self._hold(source_id)
        self._sync()
        self._queue.close()
        if frames := self._queue.frames():
            log.warning("frames stay on disk and are sent at the next start", frames=frames)

    # -- details

    def _is_stalled(self, source_id: str) -> bool:
        flights = self._flights.get(source_id)
        return flights is not None and self._clock() - flights[0].sent_s > self._after_s

    def _is_full(self) -> bool:
        """The client had no room for longer than a frame may wait, whichever source asked."""
        if self._full_since_s is None:
            self._full_since_s = self._clock()
        return self._clock() - self._full_since_s >= self._after_s

    def _send(self, flight: _Flight, give_up: Callable[[], bool]) -> bool:
        def report(fault: KafkaFault | None) -> bool:
            is_sent_again = fault is not None and fault.kind is FaultKind.PASSING
            self._reports.append((flight, is_sent_again))
            return is_sent_again

        if self._clock() < self._no_registry_until_s:
            return False
        try:
            if not self._outbox.send(flight.ready, give_up, takes_back=report):
                return False
        except Unavailable as error:
            self._no_registry_until_s = self._clock() + self._after_s
            self._tell("no schema registry", str(error))
            return False
        self._full_since_s = None
        self._flights.setdefault(flight.ready.source_id, deque()).append(flight)
        return True

    def _settle_reports(self) -> None:
        failed: set[str] = set()
        while self._reports:
            flight, came_back = self._reports.popleft()
            flight.came_back, flight.over = came_back, not came_back
            if flight.came_back:
                failed.add(flight.ready.source_id)
            elif flight.entry is not None:
                self._queue.done(flight.entry)
            flights = self._flights[flight.ready.source_id]
            while flights and flights[0].over:
                flights.popleft()
            if not flights:
                del self._flights[flight.ready.source_id]
        for source_id in failed:
            self._hold(source_id)

    def _hold(self, source_id: str) -> None:
        """Copy to disk what is under way, oldest first; what came back waits there."""
        flights = self._flights.pop(source_id, deque())
        if self._queue.head(source_id) is None:  # behind younger frames a copy would be out of order
            for flight in flights:
                if flight.entry is None and not flight.over:
                    flight.entry = self._append(flight.ready, sent=True)
        back = [flight for flight in flights if flight.came_back]
        self._queue.put_back(flight.entry for flight in back if flight.entry is not None)
        for flight in back:
            if flight.entry is None:
                self._outbox.lose(source_id, "undelivered")
        if left := deque(flight for flight in flights if not flight.came_back and not flight.over):
            self._flights[source_id] = left

    def _spool(self, ready: ReadyFrame) -> None:
        self._hold(ready.source_id)
        if self._append(ready) is not None:
            return
        # Without a disk the client's own queue is what is left, as long as no older frame waits elsewhere.
        is_next = self._queue.head(ready.source_id) is None
        if not (is_next and self._send(_Flight(ready, self._clock()), lambda: True)):
            self._outbox.lose(ready.source_id, "disk_full")

    def _append(self, ready: ReadyFrame, *, sent: bool = False) -> Entry | None:
        try:
            entry = self._queue.append(ready, now_us(), sent=sent)
        except OSError as error:
            self._tell("disk full" if error.errno in _FULL else "disk fault", error.strerror or str(error))
            return None
        if ready.source_id not in self._spooling:
            self._spooling.add(ready.source_id)
            log.warning("frames go to disk until Kafka takes them", source_id=ready.source_id)
        return entry

    def _drain(self, now_s: float) -> None:
        for source_id in self._queue.waiting():
            while not self._is_stalled(source_id) and (head := self._queue.head(source_id)) is not None:
                if not self._outbox.has_room(head.length):
                    return
                if self._bucket(source_id, now_s).wait_s(now_s) > 0.0:
                    break
                if not self._send_head(head):
                    return
        for source_id in [one for one in self._spooling if self._queue.frames(one) == 0]:
            self._spooling.discard(source_id)
            self._buckets.pop(source_id, None)
            log.info("all frames of the spool are delivered", source_id=source_id)

    def _send_head(self, head: Entry) -> bool:
        try:
            ready = self._queue.read(head)
        except OSError as error:
            self._tell("disk fault", error.strerror or str(error))
            return False
        if ready is None:
            return True
        if ready.expires_at is not None and ready.expires_at < now_us():
            self._queue.lose(head, "stale")
            return True
        if not self._send(_Flight(ready, self._clock(), head), lambda: True):
            return False
        self._queue.sent(head)
        return True

    def _bucket(self, source_id: str, now_s: float) -> TokenBucket:
        if source_id not in self._buckets:
            self._buckets[source_id] = TokenBucket(CATCH_UP * self._rate_of(source_id), now_s)
        return self._buckets[source_id]

    def _sync(self) -> None:
        try:
            self._queue.sync()
        except OSError as error:
            self._tell("disk fault", error.strerror or str(error))
        oldest_at = self._queue.oldest_at()
        metrics.SPOOL_FRAMES.set(self._queue.frames())
        metrics.SPOOL_BYTES.set(self._queue.size_bytes())
        metrics.SPOOL_OLDEST_SECONDS.set(0.0 if oldest_at is None else max(0, now_us() - oldest_at) / 1e6)

    def _tell(self, kind: str, why: str) -> None:
        if times := self._failures.count(kind, self._clock()):
            log.error("the spool cannot work as it should", fault=kind, times=times, why=why)
