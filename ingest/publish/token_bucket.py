"""How fast something may go on average. Pure: time is an argument."""


class TokenBucket:
    """`rate_per_s` on average, after a pause at most one second's worth (at least one) at once."""

    def __init__(self, rate_per_s: float, now_s: float) -> None:
        if rate_per_s <= 0:
            raise ValueError("rate_per_s must be above 0")
        self._rate_per_s = rate_per_s
        self._capacity = max(1.0, rate_per_s)
        self._tokens = 1.0
        self._at_s = now_s

    def wait_s(self, now_s: float) -> float:
        """Takes a token and returns 0.0, or takes none and returns how long to wait before asking again."""
        self._tokens = min(self._capacity, self._tokens + max(0.0, now_s - self._at_s) * self._rate_per_s)
        self._at_s = max(self._at_s, now_s)
        # A wait ends within rounding of a whole token.
        if self._tokens >= 1.0 - 1e-9:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / self._rate_per_s
