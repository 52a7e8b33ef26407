"""What an agent knows of one reading of a source: whether it is silent, and was healthy. Pure: time is an argument."""

# Starting an interpreter and OpenCV on a loaded machine, and the first HTTP request before the stream itself.
START_GRACE_S = 15.0


class CaptureSession:
    """The state of one reading. `base_index`: how many frames of the source earlier readings delivered."""

    def __init__(self, now_s: float, base_index: int = 0) -> None:
        self.base_index = base_index
        self.captured = 0
        self._stall_s = 0.0
        self._opened_s: float | None = None
        self._last_sign_s = self._last_healthy_s = now_s
        self._skipped = 0
        self._counted: dict[str, int] = {}

    @property
    def opened(self) -> bool:
        """Whether the source was opened."""
        return self._opened_s is not None

    def open(self, now_s: float, stall_s: float) -> None:
        """The source is open; from now on `stall_s` seconds without a frame are a stall."""
        self._opened_s = now_s
        self._stall_s = stall_s

    def sign_of_life(self, now_s: float) -> None:
        """A message came that would not come if the source hung."""
        self._last_sign_s = self._last_healthy_s = now_s

    def missed(self, now_s: float) -> None:
        """The source answered without a picture: it does not hang, and is not healthy."""
        self._last_sign_s = now_s

    def without_picture_s(self, now_s: float) -> float:
        """Seconds since the last picture, or since the reading began."""
        return now_s - self._last_healthy_s

    def silent_s(self, now_s: float) -> float:
        """Seconds since the last sign of life."""
        return now_s - self._last_sign_s

    def is_stalled(self, now_s: float, open_timeout_ms: int) -> bool:
        """Whether the silence has lasted so long that the process has to be killed."""
        limit_s = self._stall_s if self.opened else START_GRACE_S + open_timeout_ms / 1000
        return self.silent_s(now_s) > limit_s

    def healthy_s(self) -> float:
        """Seconds from opening to the last picture or other sign of health.

        The silence before a watchdog's kill does not count, and neither do answers without a picture.
        """
        if self._opened_s is None or not self.captured:
            return 0.0
        return max(0.0, self._last_healthy_s - self._opened_s)

    def skipped(self, total: int, now_s: float) -> None:
        """`total` frames that earlier readings delivered were passed over.

        Progress here is a sign of life, but the time it takes does not count as healthy: a process that crashes on
        the frame after the skipped ones got there too.
        """
        if total > self._skipped:
            self._skipped = total
            self._opened_s = self._last_sign_s = self._last_healthy_s = now_s

    def newly_captured(self, total: int, now_s: float) -> int:
        """How many of `total` frames, counted since the reading began, were not known before."""
        new = max(0, total - self.captured)
        if new:
            self._last_sign_s = self._last_healthy_s = now_s
            self.captured = total
        return new

    def newly_counted(self, what: str, total: int) -> int:
        """How many of `total` drops for a reason, or of other events, counted since then, were not known before."""
        new = total - self._counted.get(what, 0)
        self._counted[what] = total
        return new
