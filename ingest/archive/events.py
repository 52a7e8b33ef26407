"""Which frames `--only` keeps: those around events, by their source and the time of their record. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from infra.process.times import parse_duration_ms
from schemas.errors import ConfigError
from schemas.records import Label

DEFAULT_BEFORE_MS, DEFAULT_AFTER_MS = 30_000, 60_000
HELP = "write review, dead, class=GLOB, before=30s and after=60s, with commas between them"


@dataclass(frozen=True, slots=True)
class Only:
    """What `--only` says: the events, and how much before and after each is kept."""

    review: bool = False
    dead: bool = False
    classes: tuple[str, ...] = ()
    before_ms: int = DEFAULT_BEFORE_MS
    after_ms: int = DEFAULT_AFTER_MS

    @property
    def is_labels(self) -> bool:
        """Whether every label is looked at, and not only those in review."""
        return bool(self.classes)

    def is_event(self, label: Label) -> bool:
        """Whether the label's best class is one of the wanted; by name or id, in any case of letters."""
        best = label.predictions[0] if label.predictions else None
        return best is not None and any(
            fnmatchcase(best.name.lower(), glob) or fnmatchcase(best.class_id.lower(), glob) for glob in self.classes
        )

    def __str__(self) -> str:
        """The same for every way of writing the same."""
        words = ["review"] * self.review + ["dead"] * self.dead + [f"class={glob}" for glob in self.classes]
        return ",".join([*words, f"before={self.before_ms}ms", f"after={self.after_ms}ms"])


def parse_only(text: str) -> Only:
    """Raises ConfigError. `review|dead` and `review,dead` mean the same."""
    review = dead = False
    classes, times = set[str](), {"before": DEFAULT_BEFORE_MS, "after": DEFAULT_AFTER_MS}
    for word in text.replace("|", ",").split(","):
        name, _, value = word.strip().partition("=")
        if name == "review" and not value:
            review = True
        elif name == "dead" and not value:
            dead = True
        elif name == "class" and value:
            classes.add(value.lower())
        elif name in times and value:
            times[name] = parse_duration_ms(value, f"--only {text}: {name}")
        else:
            raise ConfigError(f"--only {text}: {word!r} is not known; {HELP}")
    if not (review or dead or classes):
        raise ConfigError(f"--only {text} names no event; {HELP}")
    return Only(review, dead, tuple(sorted(classes)), times["before"], times["after"])


@dataclass(slots=True)
class Windows:
    """Which times of which sources are kept. Windows that touch become one, so their number is bounded by time."""

    only: Only
    # By source, times in order: windows begin at the even indices and end, themselves excluded, at the odd ones.
    _edges: dict[str, list[int]] = field(default_factory=dict)

    def add(self, source_id: str, at_ms: int) -> None:
        """An event of the source at that time."""
        start, end = at_ms - self.only.before_ms, at_ms + self.only.after_ms + 1
        edges = self._edges.setdefault(source_id, [])
        first, last = bisect_left(edges, start), bisect_right(edges, end)
        # An odd index lies inside a window, which is then made longer.
        edges[first:last] = [start] * (first % 2 == 0) + [end] * (last % 2 == 0)

    def holds(self, source_id: str, at_ms: int) -> bool:
        return bisect_right(self._edges.get(source_id, []), at_ms) % 2 == 1

    def forget_before(self, at_ms: int) -> None:
        """Windows that end before this time are not needed any more."""
        for source_id, edges in list(self._edges.items()):
            kept = [edge for pair in zip(edges[::2], edges[1::2], strict=True) if pair[1] > at_ms for edge in pair]
            if kept:
                self._edges[source_id] = kept
            else:
                del self._edges[source_id]


Keep = Callable[[str, int], bool]


def everything(_source_id: str, _at_ms: int) -> bool:
    """Without `--only` every frame is kept."""
    return True
