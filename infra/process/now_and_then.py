"""How often a thing that happens again and again is told. Pure."""


class NowAndThen:
    """Tells the first of each kind at once, and then how many came since, at most once in `every_s`."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._told_s: dict[str, float] = {}
        self._untold: dict[str, int] = {}

    def count(self, kind: str, now_s: float) -> int:
        """Count one more of that kind, a short fixed word. How many to tell of now; 0: nothing yet."""
        self._untold[kind] = self._untold.get(kind, 0) + 1
        told_s = self._told_s.get(kind)
        if told_s is not None and now_s - told_s < self._every_s:
            return 0
        self._told_s[kind] = now_s
        return self._untold.pop(kind)
