"""The sink contract: what the loop gives to a sink, and what a sink promises in return.

One attempt of the loop is `add` for each label of a micro-batch, then one `flush`. All calls come from one thread.

Signals that every method may raise:
    Busy        The target cannot store labels now. Nothing is lost: the loop pauses its partitions, continues to poll,
                waits `retry_after_s`, and repeats the attempt (`discard`, then `add` again for each label).
    SinkError   The target cannot be written to and waiting does not help, or the content of the target is unknown.
                The process ends with this error; the offsets of labels that were not flushed are not committed.
`add` and `flush` may also raise
    BadLabel    The target can never store this label. The loop sends it to `labels.dead` and repeats the attempt
                without it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from schemas.coordinates import Coordinates, TopicPartition
from schemas.records import Label


@dataclass(frozen=True, slots=True)
class Row:
    """One label to store. `at`: the coordinates of the label's own record on the labels topic."""

    label: Label
    at: Coordinates


class Sink(Protocol):
    """Stores labels in a target. A new kind of sink implements this; its tests run `tests/support/sink_contract.py`.

    Of a frame's labels the one with the highest `revision` counts, whatever its replay id. A target that updates rows
    replaces one only by a higher revision; a target that only appends keeps both, and its readers take the highest.
    """

    @property
    def name(self) -> str:
        """A short word, used in the consumer group `sightline-sink-<name>` and as the label `sink` of metrics."""

    def setup(self, log_id: str) -> None:
        """Open the target, and finish or undo what a crash left there. The first call; repeated after Busy.

        `log_id` identifies the labels topic: the id of the cluster and the id of the topic. A topic that was deleted
        and created again has another `log_id`, and its offsets start at 0. Positions stored under another `log_id` must
        be ignored.
        Raises ConfigError when a person has to change the target or the settings.
        """

    def positions(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Per partition, the next offset that the target needs, if the target stores positions together with its rows.

        Reading starts there when the committed offset of the consumer group is earlier, so that a crash between `flush`
        and commit stores no label twice. A sink without stored positions returns an empty mapping; after such a crash
        it gets the labels again.
        """

    def add(self, row: Row) -> None:
        """Add one label to the present attempt. Must be fast: it may check and convert, and stores nothing durably."""

    def flush(self, positions: Mapping[TopicPartition, int]) -> None:
        """Make all added labels durable, together with `positions`: per partition, the offset after this attempt.

        After it returns, a crash of the process or of the machine must not lose any of them; the loop then commits. A
        sink that stores positions stores rows and positions in one atomic step. If it raises Busy or BadLabel, nothing
        of the attempt is stored, or storing it again changes nothing (an upsert).
        It is also called without added labels, at least once every `sink.flush_interval_ms`, so that a sink can do work
        that depends on time. Its time-outs must keep it well below the five seconds that a rebalance waits for it.
        """

    def discard(self) -> None:
        """Forget the labels added since the last flush, because the attempt is over. Must not fail."""

    def close(self) -> None:
        """Release the target. The last call, also after errors.

        Flushed labels stay; labels that were only added are dropped. `close` is not called when the process is killed;
        `setup` of the next process must handle that.
        """
