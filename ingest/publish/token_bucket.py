"""A limit on an average rate: of frames a second, or of bytes a second. Pure: time is an argument."""

# Rounding may leave a balance this far below what a take costs.
_EPSILON = 1e-9


class TokenBucket:
    """Allows `rate_per_s` tokens on average; after a pause at most one second's worth, and at least one, at once.

    A take of one token limits a count. For a limit on bytes a take costs as many tokens as the record has bytes.
    """

    def __init__(self, rate_per_s: float, now_s: float) -> None:
        if rate_per_s <= 0:
            raise ValueError("rate_per_s must be above 0")
        self._rate_per_s = rate_per_s
        self._capacity = max(1.0, rate_per_s)
        self._tokens = 1.0
        self._at_s = now_s

    def wait_s(self, now_s: float, cost: float = 1.0) -> float:
        """Take `cost` tokens and return 0.0, or take none and return how long to wait before asking again.

        A take that costs more than the bucket holds passes when the bucket is full; those after it wait the longer.
        """
        self._tokens = min(self._capacity, self._tokens + max(0.0, now_s - self._at_s) * self._rate_per_s)
        self._at_s = max(self._at_s, now_s)
        needed = min(cost, self._capacity)
        if self._tokens >= needed * (1.0 - _EPSILON):
            self._tokens -= cost
            return 0.0
        return (needed - self._tokens) / self._rate_per_s
