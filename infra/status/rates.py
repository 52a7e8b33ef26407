"""How much of something happens a second, over the last seconds. Pure, with time as an argument."""

from collections import deque

WINDOW_S = 15.0


class Rate:
    """The rate of a counter that only grows, from looks at it."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._looks: deque[tuple[float, float]] = deque(maxlen=64)

    def look(self, count: float, now_s: float) -> float | None:
        """The rate up to now; None at the first look."""
        looks = self._looks
        looks.append((now_s, count))
        while len(looks) > 2 and looks[1][0] <= now_s - self._window_s:
            looks.popleft()
        took_s = now_s - looks[0][0]
        return max(0.0, count - looks[0][1]) / took_s if took_s > 0 else None
