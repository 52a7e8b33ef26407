"""The newest outcomes of uploads, bounded in count and bytes, and who waits for one. Pure."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

# What an entry takes beside its text: the table, the object, its strings.
ENTRY_BYTES = 400


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a frame. `json`: its label, or None where it is a dead letter for `reason`."""

    frame_id: str
    json: str | None
    reason: str = ""
    revision: int = 0

    @property
    def size_bytes(self) -> int:
        return ENTRY_BYTES + len(self.frame_id) + len(self.json or "") + len(self.reason)


class OutcomeRing:
    """The last outcomes. The oldest goes first; a later label of a frame takes the place of an earlier revision."""

    def __init__(self, max_count: int, max_bytes: int) -> None:
        self._max_count, self._max_bytes = max_count, max_bytes
        self._outcomes: OrderedDict[str, Outcome] = OrderedDict()
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._outcomes)

    def get(self, frame_id: str) -> Outcome | None:
        return self._outcomes.get(frame_id)

    def add(self, outcome: Outcome) -> bool:
        """Whether it is the first outcome of its frame that is known here; wakes those who wait for it."""
        known = self._outcomes.pop(outcome.frame_id, None)
        if known is not None:
            self.size_bytes -= known.size_bytes
            if known.json is not None and known.revision > outcome.revision:
                outcome = known
        self._outcomes[outcome.frame_id] = outcome
        self.size_bytes += outcome.size_bytes
        while len(self._outcomes) > self._max_count or (self.size_bytes > self._max_bytes and len(self) > 1):
            _, oldest = self._outcomes.popitem(last=False)
            self.size_bytes -= oldest.size_bytes
        for wake in self._waiting.pop(outcome.frame_id, ()):
            wake()
        return known is None

    # -- those who wait

    def wait(self, frame_id: str, wake: Callable[[], None]) -> None:
        """Call `wake` when an outcome of the frame is added."""
        self._waiting.setdefault(frame_id, []).append(wake)

    def leave(self, frame_id: str, wake: Callable[[], None]) -> None:
        """Who waited does not wait any more."""
        waiting = self._waiting.get(frame_id, [])
        if wake in waiting:
            waiting.remove(wake)
        if not waiting:
            self._waiting.pop(frame_id, None)

    def wake_all(self) -> None:
        for waiting in list(self._waiting.values()):
            for wake in waiting:
                wake()
