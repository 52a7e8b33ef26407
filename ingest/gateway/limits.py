"""How much each key may upload: a rate and a number a day; and how much the process holds at once. Pure."""

from ingest.gateway.keys import Key
from ingest.gateway.problems import Problem
from ingest.publish.token_bucket import TokenBucket

DAY_S = 86_400


class Quotas:
    """Frames of each key: not more a second, nor a day, than its own limits. Time is an argument."""

    def __init__(self, frames_per_s: float) -> None:
        self._frames_per_s = frames_per_s
        self._buckets: dict[str, tuple[float, TokenBucket]] = {}
        # By key: the day since 1970, and its frames so far.
        self._used: dict[str, tuple[int, int]] = {}
        self.changed: set[str] = set()

    def used(self, name: str, day: int) -> int:
        """Frames of a key on that day."""
        known = self._used.get(name)
        return known[1] if known is not None and known[0] == day else 0

    def restore(self, name: str, day: int, frames: int) -> None:
        """What an earlier process had counted."""
        self._used[name] = (day, frames)

    def take(self, key: Key, frames: int, now_s: float, wall_s: float) -> None:
        """Count these frames. Raises Problem 429 when they are too many, and counts none of them."""
        day = int(wall_s // DAY_S)
        used = self.used(key.name, day)
        if key.frames_per_day is not None and used + frames > key.frames_per_day:
            detail = f"the key {key.name} may upload {key.frames_per_day} frames a day, and has uploaded {used}"
            raise Problem(429, "quota", detail, (day + 1) * DAY_S - wall_s)
        rate_per_s = key.frames_per_s or self._frames_per_s
        known = self._buckets.get(key.name)
        if known is None or known[0] != rate_per_s:
            known = self._buckets[key.name] = (rate_per_s, TokenBucket(rate_per_s, now_s - 1.0))
        wait_s = known[1].wait_s(now_s, frames)
        if wait_s:
            raise Problem(429, "rate", f"the key {key.name} may upload {rate_per_s:g} frames a second", wait_s)
        self._used[key.name] = (day, used + frames)
        self.changed.add(key.name)

    def give_back(self, key: Key, frames: int, wall_s: float) -> None:
        """Frames that Kafka did not take count against no quota of the day."""
        day = int(wall_s // DAY_S)
        if used := self.used(key.name, day):
            self._used[key.name] = (day, max(0, used - frames))
            self.changed.add(key.name)

    def keep(self, names: set[str]) -> None:
        """Forget the keys that are gone."""
        for table in (self._buckets, self._used):
            for name in table.keys() - names:
                table.pop(name)
        self.changed &= names


class Room:
    """Bytes of bodies that are read or wait for Kafka; all requests share them."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self.used_bytes = max_bytes, 0

    def take(self, size: int) -> None:
        """Raises Problem 429 when there is no room now. One body always fits."""
        if self.used_bytes and self.used_bytes + size > self._max_bytes:
            raise Problem(429, "busy", "too many uploads are under way", 1.0)
        self.used_bytes += size

    def give(self, size: int) -> None:
        self.used_bytes -= size
