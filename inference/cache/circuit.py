"""A circuit breaker: when not to call a failing service. Pure: time is an argument."""

from dataclasses import dataclass


@dataclass(slots=True)
class CircuitBreaker:
    """Closed: call the service. Open: do not, except that one caller every `open_ms` is told to probe it.

    Nothing else waits for a probe; whoever makes it calls `succeeded` or `failed`.
    """

    open_ms: int
    is_open: bool = False
    _probe_at_ms: float = 0.0

    def failed(self, now_ms: float) -> bool:
        """Open it; True when it was closed before."""
        opened = not self.is_open
        self.is_open = True
        self._probe_at_ms = now_ms + self.open_ms
        return opened

    def succeeded(self) -> bool:
        """Close it; True when it was open before. A call that began before the failure closes it as well."""
        closed = self.is_open
        self.is_open = False
        return closed

    def probe_due(self, now_ms: float) -> bool:
        """True for one caller every `open_ms`, who must then probe."""
        if not self.is_open or now_ms < self._probe_at_ms:
            return False
        self._probe_at_ms = now_ms + self.open_ms
        return True
