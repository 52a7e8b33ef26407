"""When to leave a failing service alone. Pure: time is an argument."""

from dataclasses import dataclass


@dataclass(slots=True)
class Circuit:
    """Closed: use the service. Open: do not. Every `open_ms` while open, one caller is told to probe it.

    Nobody's work waits for a probe: it is the prober who calls `succeeded` or `failed`.
    """

    open_ms: int
    is_open: bool = False
    _probe_at_ms: float = 0.0

    def failed(self, now_ms: float) -> bool:
        """Returns whether this opened it: the moment to log."""
        opened = not self.is_open
        self.is_open = True
        self._probe_at_ms = now_ms + self.open_ms
        return opened

    def succeeded(self) -> bool:
        """Returns whether this closed it. One that began before the failure does so too; the next failure mends it."""
        closed = self.is_open
        self.is_open = False
        return closed

    def probe_due(self, now_ms: float) -> bool:
        """True for one caller per `open_ms`, who must then probe."""
        if not self.is_open or now_ms < self._probe_at_ms:
            return False
        self._probe_at_ms = now_ms + self.open_ms
        return True
