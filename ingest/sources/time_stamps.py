"""Whether the time stamps of a live stream jump. Pure: time is an argument."""

# A stream may catch up, and its first report of RTCP moves it by seconds; a camera whose clock was set jumps further.
MAX_JUMP_S = 10.0


class TimeStamps:
    """The time stamps of a live stream beside a clock: they go as fast as it does, or they jumped.

    Stamps that never change are none, and no fault.
    """

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None

    def jumped(self, stamp_s: float, now_s: float) -> bool:
        """Whether this frame's stamp is more than MAX_JUMP_S before the one before it, or ahead of the clock."""
        last, self._last = self._last, (stamp_s, now_s)
        if last is None or stamp_s == last[0]:
            return False
        step_s = stamp_s - last[0]
        return step_s < -MAX_JUMP_S or step_s - (now_s - last[1]) > MAX_JUMP_S
