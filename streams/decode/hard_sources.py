"""Which sources send pictures that take the decoder long. Pure."""

from collections.abc import Hashable

# From this time on a picture counts as hard. A large JPEG of a camera takes a tenth of it (docs/performance.md).
HARD_S = 0.2
# A source whose pictures were all easy for so long is a source like any other.
FORGET_S = 60.0
MAX_SOURCES = 1024


class HardSources:
    """Remembers at most MAX_SOURCES sources; of more, those without a hard picture for longest are forgotten."""

    def __init__(self) -> None:
        self._until_s: dict[Hashable, float] = {}

    def is_hard(self, source: Hashable, now_s: float) -> bool:
        return self._until_s.get(source, 0.0) > now_s

    def suspect(self, source: Hashable, now_s: float) -> None:
        """A picture of the source is being decoded for HARD_S. It may be the machine that is slow."""
        self._until_s.pop(source, None)
        self._until_s[source] = now_s + FORGET_S
        if len(self._until_s) > MAX_SOURCES:
            del self._until_s[next(iter(self._until_s))]

    def judge(self, source: Hashable, cpu_s: float, was_suspected: bool, now_s: float) -> bool:
        """A picture of the source is decoded and took `cpu_s`. `was_suspected`: it alone made the source hard.

        True where the source is hard and was not before.
        """
        if cpu_s >= HARD_S:
            self.suspect(source, now_s)
        elif was_suspected:
            self._until_s.pop(source, None)
        return was_suspected and cpu_s >= HARD_S
