"""When which host may be asked next. Pure: time and the random generator are arguments.

One host is asked by at most `max_per_host` requests at a time, and not before its delay since the last one is over: the
longer of our own rate and the site's crawl delay, and after a Retry-After or failures as long as those ask for.
"""

import heapq
import random
from collections import deque
from dataclasses import dataclass, field

from ingest.crawl.frontier import Waiting

MAX_CRAWL_DELAY_S = 3600.0
BACKOFF_S, MAX_BACKOFF_S = 1.0, 60.0


@dataclass(slots=True)
class Host:
    """`next_s`: not asked before; `is_queued`: it is in the queue of `Pace`; `is_known`: its robots.txt was read."""

    name: str
    delay_s: float
    next_s: float = 0.0
    active: int = 0
    failures: int = 0
    is_queued: bool = False
    is_known: bool = False
    waiting: deque[Waiting] = field(default_factory=deque)


class Pace:
    """All hosts of a crawl. `per_s` 0: no rate of our own."""

    def __init__(self, per_s: float, max_per_host: int, rng: random.Random) -> None:
        self._delay_s = 1.0 / per_s if per_s > 0 else 0.0
        self._max_per_host, self._rng = max_per_host, rng
        self._hosts: dict[str, Host] = {}
        self._queue: list[tuple[float, int, Host]] = []
        self._turn = 0

    def add(self, url: Waiting) -> None:
        host = self._hosts.setdefault(url.host, Host(url.host, self._delay_s))
        host.waiting.append(url)
        self._offer(host)

    def take(self, now_s: float) -> Waiting | None:
        """A URL whose host may be asked now; the host counts it as active until `done`."""
        if not self._queue or self._queue[0][0] > now_s:
            return None
        host = heapq.heappop(self._queue)[2]
        host.is_queued = False
        if host.next_s > now_s:
            self._offer(host)
            return self.take(now_s)
        host.active += 1
        host.next_s = now_s + host.delay_s
        url = host.waiting.popleft()
        self._offer(host)
        return url

    def next_s(self) -> float | None:
        """The earliest time at which `take` may have a URL; None while no host may be asked, whatever the time."""
        return self._queue[0][0] if self._queue else None

    def waiting(self, name: str) -> int:
        """URLs of the host that wait in memory."""
        host = self._hosts.get(name)
        return len(host.waiting) if host else 0

    def known(self, name: str, now_s: float, delay_s: float | None) -> None:
        """The delay that the site asks for, up to MAX_CRAWL_DELAY_S. Before that it gets one request at a time."""
        host = self._hosts[name]
        host.is_known = True
        host.delay_s = max(host.delay_s, min(delay_s or 0.0, MAX_CRAWL_DELAY_S))
        host.next_s = max(host.next_s, now_s + host.delay_s)
        self._offer(host)

    def done(self, name: str) -> None:
        """A request of this host has ended."""
        host = self._hosts[name]
        host.active -= 1
        self._offer(host)

    def succeeded(self, name: str) -> None:
        self._hosts[name].failures = 0

    def failed(self, name: str, now_s: float, retry_after_s: float | None) -> None:
        """The host asked for a pause, or did not answer: full jitter between 0 and a ceiling that doubles."""
        host = self._hosts[name]
        ceiling_s = min(MAX_BACKOFF_S, BACKOFF_S * 2.0 ** min(host.failures, 16))
        host.failures += 1
        pause_s = self._rng.uniform(0.0, ceiling_s) if retry_after_s is None else retry_after_s
        host.next_s = max(host.next_s, now_s + pause_s)

    def _offer(self, host: Host) -> None:
        if host.waiting and host.active < (self._max_per_host if host.is_known else 1) and not host.is_queued:
            host.is_queued = True
            self._turn += 1
            heapq.heappush(self._queue, (host.next_s, self._turn, host))
