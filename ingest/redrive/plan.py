"""Which dead letters are sent through the pipeline again, and why the others are not. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from infra.failures.dead_letters import DeadLetter, Mark, Place
from schemas import codec
from schemas.codec import Registry
from schemas.coordinates import Coordinates
from schemas.errors import BadFrame, ConfigError
from schemas.headers import Failure, Header, failure_headers, redriven_headers
from schemas.records import Frame

# A copy starts in the first tier of the retry topic, with the shortest delay, and has all tiers before it.
FIRST_ATTEMPT = 1
# Dead letters carry the time of a stage's clock, marks the time of this command's clock.
CLOCKS_DIFFER_MS = 60_000


@dataclass(slots=True)
class Plan:
    """`chosen` is in the order of the topic; `reasons` counts why the chosen frames failed.

    `refused` counts why others are not sent, `skipped` those that were redriven before.
    """

    chosen: list[Place] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    skipped: int = 0


class Planner:
    """Takes dead letters and marks in the order of the topic, keeps their coordinates, and then makes the plan.

    A mark is written after the dead letter that it marks, so the last mark may concern the first dead letter.
    """

    def __init__(self, max_attempts: int, registry: Registry | None) -> None:
        self._max_attempts, self._registry = max_attempts, registry
        self._candidates: dict[Place, _Candidate] = {}
        self._refused: dict[Place, str] = {}
        self._marked: set[Place] = set()
        self._redriven: Counter[Coordinates] = Counter()
        self._last_mark: dict[tuple[Coordinates, int], Mark] = {}

    def add(self, entry: DeadLetter | Mark) -> None:
        if isinstance(entry, Mark):
            self._marked.add(entry.letter)
            if entry.origin is not None:
                self._redriven[entry.origin] += 1
                self._last_mark[entry.origin, entry.place[0]] = entry
            return
        reason = refusal(entry, self._registry)
        if reason is not None:
            self._refused[entry.place] = reason
        elif entry.failure is not None:
            why = f"{entry.stage}/{entry.error_class}"
            self._candidates[entry.place] = _Candidate(entry.failure.source, entry.timestamp_ms, why)

    def missing(self, places: Iterable[Place]) -> list[Place]:
        """Those of `places` at which there was no dead letter."""
        return sorted(set(places) - self._candidates.keys() - self._refused.keys())

    def plan(self) -> Plan:
        plan = Plan()
        planned: set[Coordinates] = set()
        for place, letter in sorted(self._candidates.items()):
            origin = letter.origin
            if place in self._marked or self._redriven_since(place, letter):
                plan.skipped += 1
            elif self._redriven[origin] >= self._max_attempts:
                plan.refused[f"redriven {self._redriven[origin]} times already"] += 1
            elif origin in planned:
                plan.refused["the same frame as another dead letter"] += 1
            else:
                planned.add(origin)
                plan.chosen.append(place)
                plan.reasons[letter.why] += 1
        for place, reason in self._refused.items():
            if place in self._marked:
                plan.skipped += 1
            else:
                plan.refused[reason] += 1
        return plan

    def _redriven_since(self, place: Place, letter: "_Candidate") -> bool:
        """Whether the frame was redriven after this was written, by another dead letter of the same failure.

        A crash of a stage can leave two dead letters of one failure. Both place and time of the mark must be later,
        because a frame can fail again between its copy and the mark; in doubt it counts as a failure of its own.
        """
        mark = self._last_mark.get((letter.origin, place[0]))
        return mark is not None and mark.place > place and mark.timestamp_ms >= letter.timestamp_ms + CLOCKS_DIFFER_MS


@dataclass(frozen=True, slots=True)
class _Candidate:
    origin: Coordinates
    timestamp_ms: int
    why: str


def refusal(letter: DeadLetter, registry: Registry | None) -> str | None:
    """Why this dead letter can never be redriven, whatever was repaired; None when it can."""
    if letter.failure is None:
        return "no header says where the frame comes from"
    if letter.value is None:
        return "the dead letter was written without its frame (`sightline dead show` says why)"
    try:
        codec.decode(Frame, letter.value, registry)
    except BadFrame as bad:
        return f"no Frame ({bad.reason})"
    return None


def retry_headers(letter: DeadLetter, failure: Failure) -> list[Header]:
    """The headers of the copy on `frames.retry`: the origin stays, the attempts are counted from the start again."""
    return failure_headers(
        letter.headers,
        Failure(
            failure.source,
            failure.timestamp_ms or letter.timestamp_ms,
            failure.stage,
            failure.error_class,
            failure.message,
            FIRST_ATTEMPT,
        ),
    )


def mark_headers(letter: DeadLetter, failure: Failure) -> list[Header]:
    """The headers of the mark: a record without a value that says that this dead letter was redriven."""
    return redriven_headers(failure, *letter.place)


def parse_rate(text: str) -> float:
    """Frames a second from `20`, `20/s` or `90/m`. Raises ConfigError."""
    number, _, unit = text.partition("/")
    try:
        rate = float(number) / {"": 1, "s": 1, "m": 60, "h": 3600}[unit]
    except (ValueError, KeyError):
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise ConfigError(f"--rate must be dead letters a second, as in 20/s (given: {text!r})")
    return rate
