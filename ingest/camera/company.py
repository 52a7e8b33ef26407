"""With how many others a source is read in one capture process. Pure."""

from ingest.camera.session_end import MOVED, SessionEnd


class Company:
    """`size` is for the next opening of one source; it begins with the size of a group.

    Alone is read what hung or did not open: its own process then tells why, and nobody waits for it. A process that
    crashed is shared by half as many from then on, so that whoever crashes it is soon alone. A source that was healthy
    may have company again.
    """

    def __init__(self, group_size: int) -> None:
        self._group_size = self.size = group_size

    def after(self, end: SessionEnd, *, opened: bool, healthy: bool, shared: bool, capacity: int) -> SessionEnd:
        """Decide after the reading of the source ended; what did not open among others is MOVED."""
        if healthy:
            self.size = self._group_size
        if end.reason == "crashed" and shared:
            self.size = max(1, capacity // 2)
        if end is MOVED or end.reason == "stalled":
            self.size = 1
        if end.wait_s == 0.0 and end.reason == "failed" and not opened:
            self.size = 1
            return MOVED if shared else end
        return end
