"""Where a sink starts to read a partition: at its position, less the window in which it recognises repeats."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from infra.kafka.offsets_lookup import OffsetsClient, OffsetsLookup, PartitionOffsets
from infra.process.lifecycle import Start
from schemas.coordinates import TopicPartition

BEYOND_END_S = 15.0


@dataclass(frozen=True, slots=True)
class StartPosition:
    """Records from `position` on are stored. Records from `read_from` to `position` only fill the window of repeats.

    `skipped`: the offsets that the sink should have stored and that the log does not contain any more.
    """

    position: int
    read_from: int
    skipped: range = range(0)


def start_position_of(facts: PartitionOffsets, stored: int | None, window_offsets: int) -> StartPosition:
    """Decide where to start. Pure.

    `stored`: the position that the sink itself has stored, if any.
    The later one of `stored` and the committed offset counts, because `stored` is old if other members of the group had
    the partition in between. Without any known offset it starts at the first label.
    """
    known = known_position(facts, stored)
    if known is None:
        known = facts.first
    skipped = range(0)
    if known < facts.first:
        skipped = range(known, facts.first)
    elif known > facts.end:
        skipped = range(facts.end, known)
    position = min(max(known, facts.first), facts.end)
    return StartPosition(position, max(facts.first, position - window_offsets), skipped)


def known_position(facts: PartitionOffsets, stored: int | None) -> int | None:
    return max((one for one in (facts.committed, stored) if one is not None), default=None)


class StartPositions:
    """The start positions of partitions that are assigned and not read yet. Used by the loop's thread only."""

    def __init__(self, client: OffsetsClient, window_offsets: int, start: Start) -> None:
        self._lookup = OffsetsLookup(client, start)
        self._window_offsets = window_offsets
        self._known: dict[TopicPartition, PartitionOffsets] = {}
        self._beyond_since_s: dict[TopicPartition, float] = {}

    def want(self, partitions: Iterable[TopicPartition]) -> None:
        self._lookup.want(partitions)

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        gone = list(partitions)
        self._lookup.forget(gone)
        for partition in gone:
            self._known.pop(partition, None)
            self._beyond_since_s.pop(partition, None)

    def waits(self) -> bool:
        return self._lookup.waits() or bool(self._known)

    def ready(self, now_s: float) -> list[TopicPartition]:
        """The partitions whose offsets the broker has answered."""
        self._known.update(self._lookup.found(now_s))
        return list(self._known)

    def take(
        self, stored: Mapping[TopicPartition, int], now_s: float
    ) -> dict[TopicPartition, tuple[PartitionOffsets, StartPosition]]:
        """The start position of each partition in `ready`, and the offsets from which it was decided.

        A position after the log's end means that the broker lost the last records of the log, and that new records get
        offsets that the sink has already passed. A broker that has just started can report an old end by mistake, so
        the broker is asked again for BEYOND_END_S before the answer counts.
        """
        known, self._known = self._known, {}
        found = {}
        for partition, facts in known.items():
            own = stored.get(partition)
            if (known_position(facts, own) or 0) > facts.end:
                since_s = self._beyond_since_s.setdefault(partition, now_s)
                if now_s - since_s < BEYOND_END_S:
                    self._lookup.want([partition])
                    continue
            self._beyond_since_s.pop(partition, None)
            found[partition] = facts, start_position_of(facts, own, self._window_offsets)
        return found
