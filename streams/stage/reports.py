"""Delivery reports from the producer's thread to the event loop, many at a time."""

import asyncio
import threading
from collections.abc import Callable

from infra.kafka.sender import DeliveryReport, OnDelivery

Done = Callable[[], None]
Fail = Callable[[str], None]


class Deliveries:
    """Turns delivery reports into calls on the event loop: `done` for a record that was written, else `fail`.

    Reports that arrive while the loop is busy are handed over together, with a single wake-up of the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, fail: Fail) -> None:
        self._loop, self._fail = loop, fail
        self._lock = threading.Lock()
        self._reports: list[tuple[DeliveryReport, Done]] = []

    def expect(self, done: Done) -> OnDelivery:
        """The delivery callback for a record; `done` runs on the loop once the broker has acknowledged the record."""

        def on_delivery(report: DeliveryReport) -> None:
            with self._lock:
                self._reports.append((report, done))
                first = len(self._reports) == 1
            if first and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._serve)

        return on_delivery

    def _serve(self) -> None:
        with self._lock:
            reports, self._reports = self._reports, []
        for report, done in reports:
            if report.fault is None:
                done()
            else:
                self._fail(f"a record for {report.topic} was not written within its time limit: {report.fault}")
