"""A circuit breaker: when not to call a failing service, and which changes are news. Pure: time is an argument."""

from dataclasses import dataclass

# Both in units of `open_ms`. A service that has answered for STEADY counts as well again: a later failure is a new one.
STEADY = 10
LONGEST_WAIT = 32


@dataclass(slots=True)
class CircuitBreaker:
    """Closed: call the service. Open: do not, except for one caller now and then, who probes it.

    A probe repeats the operation that failed, and only a probe closes the circuit. The first one is due after
    `open_ms`. A service that fails again soon after a probe is probed at doubled intervals, and neither its failures
    nor its recoveries are news until it has answered for a while: so nothing is logged at every probe.
    """

    open_ms: int
    is_open: bool = False
    _is_told: bool = False  # the last news was that it fails
    _flaps: bool = False
    _wait_ms: float = 0.0
    _probe_at_ms: float = 0.0
    _closed_at_ms: float | None = None

    def failed(self, now_ms: float) -> bool:
        """Open it, or leave it open; True when that is news."""
        if not self.is_open:
            self.is_open = True
            self._flaps = self._closed_at_ms is not None and not self._is_steady(now_ms)
            longest_ms = LONGEST_WAIT * self.open_ms
            self._wait_ms = min(2 * self._wait_ms, longest_ms) if self._flaps else self.open_ms
        self._probe_at_ms = now_ms + self._wait_ms
        is_news, self._is_told = not self._is_told, True
        return is_news

    def hold(self) -> None:
        """Open it without news and let the next caller probe: the client is being changed, nothing has failed."""
        if not self.is_open:
            self.is_open, self._wait_ms = True, self.open_ms
        self._probe_at_ms = 0.0

    def succeeded(self, now_ms: float, *, is_probe: bool = False) -> bool:
        """A call was answered; True when it is news that the service answers again.

        A call that began before the failure does not close the circuit.
        """
        if self.is_open:
            if not is_probe:
                return False
            self.is_open, self._closed_at_ms = False, now_ms
        if not self._is_told or (self._flaps and not self._is_steady(now_ms)):
            return False
        self._is_told = self._flaps = False
        return True

    def probe_due(self, now_ms: float) -> bool:
        """True for one caller now and then, who must then probe."""
        if not self.is_open or now_ms < self._probe_at_ms:
            return False
        self._probe_at_ms = now_ms + self._wait_ms
        return True

    def _is_steady(self, now_ms: float) -> bool:
        return self._closed_at_ms is not None and now_ms - self._closed_at_ms >= STEADY * self.open_ms
