"""Sends the events of all ways of telling, each in a thread of its own, so that a slow one holds up nobody."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Self

from infra.lag.notify.channels import NotSent, Send, channel_of
from infra.lag.notify.incidents import Event, Incidents
from infra.lag.reports import GroupReport
from infra.lag.rules.bottleneck import Bottleneck
from infra.lag.table import bottleneck_line
from infra.process import logs
from infra.process.metrics import LAG_NOTIFICATIONS
from infra.settings import NotifySettings

log = logs.get(__name__)

MAX_QUEUED = 500
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
# An event that was refused for so long is given up; the next event of the incident tells the newer state.
GIVE_UP_S = 600.0
CLOSE_S = 2.0
# Part of the names of our own groups.
OUR_GROUP = "sightline-"


class Notifier:
    """Use as a context manager."""

    def __init__(
        self,
        settings: Sequence[NotifySettings],
        cluster: str,
        make: Callable[[NotifySettings, str], Send] = channel_of,
    ) -> None:
        self._ways = [_Way(one, make(one, cluster)) for one in settings]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for way in self._ways:
            way.close()

    def tell(self, reports: Sequence[GroupReport], now_s: float, bottleneck: Bottleneck | None = None) -> None:
        """Queue what there is to tell after a look; never waits."""
        line = bottleneck_line(bottleneck) if bottleneck is not None and bottleneck.stage != "none" else ""
        for way in self._ways:
            way.tell(reports, now_s, line)


class _Way:
    def __init__(self, settings: NotifySettings, send: Send) -> None:
        self._name, self._send = settings.name or settings.kind, send
        self._incidents = Incidents(settings)
        self._queue: queue.Queue[Event] = queue.Queue(MAX_QUEUED)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"notify-{self._name}", daemon=True)
        self._thread.start()

    def tell(self, reports: Sequence[GroupReport], now_s: float, bottleneck: str) -> None:
        for event in self._incidents.look(reports, now_s):
            is_ours = OUR_GROUP in event.report.group
            try:
                self._queue.put_nowait(replace(event, bottleneck=bottleneck if is_ours else ""))
            except queue.Full:
                LAG_NOTIFICATIONS.labels(self._name, "dropped").inc()
                log.warning("a notification is dropped: too many wait", way=self._name, group=event.report.group)

    def close(self) -> None:
        self._closed.set()
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                event = self._queue.get(timeout=0.2)
            except queue.Empty:
                continue
            self._deliver(event)

    def _deliver(self, event: Event) -> None:
        """Tried again with growing waits, in order: an incident's close never overtakes its opening."""
        ends_s, wait_s = time.monotonic() + GIVE_UP_S, FIRST_WAIT_S
        while not self._closed.is_set():
            try:
                self._send(event)
            except NotSent as error:
                LAG_NOTIFICATIONS.labels(self._name, "failed").inc()
                log.warning("a notification was not sent", way=self._name, group=event.report.group, error=str(error))
            else:
                LAG_NOTIFICATIONS.labels(self._name, "sent").inc()
                return
            if time.monotonic() >= ends_s:
                LAG_NOTIFICATIONS.labels(self._name, "given_up").inc()
                return
            self._closed.wait(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
