"""The sink contract: what the loop gives to a sink, and what a sink promises in return.

One attempt of the loop is `add` for each label of a micro-batch, then one `flush`. All calls come from one thread.

Signals that every method may raise:
    Busy        The target takes nothing now. Nothing is lost: the loop pauses its partitions, goes on polling, waits
                `retry_after_s`, and makes the same attempt again (after `discard`, with a new `add` for each label).
    SinkError   The target cannot be written to, and waiting does not help, or nobody knows any more what it holds.
                The process ends with this sentence; no offset is committed past what was not flushed.
`add` and `flush` may also raise
    BadLabel    This one label can never be taken. It goes to `labels.dead`; the attempt is made again without it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from schemas.coordinates import Coordinates, TopicPartition
from schemas.records import Label


@dataclass(frozen=True, slots=True)
class Row:
    """One label to be stored. `at` is the place of the label's own record on its topic."""

    label: Label
    at: Coordinates


class Sink(Protocol):
    """Where labels are stored. A new kind of sink implements this; its tests run `tests/support/sink_contract.py`."""

    @property
    def name(self) -> str:
        """A short word: the consumer group is `sightline-sink-<name>`, metrics carry it as the label `sink`."""

    def setup(self, log_id: str) -> None:
        """Open the target, and finish or undo what a crash left there. Called before anything else, again after Busy.

        `log_id` identifies the labels topic: the cluster's id and the topic's. A topic that was deleted and made again
        has another one, and its offsets begin anew: positions stored under another `log_id` do not count.
        Raises ConfigError where a person has to change the target or the settings.
        """

    def positions(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The next offset that the target lacks, of each partition whose position is stored together with its rows.

        Reading starts there when the consumer group knows an earlier offset, so that a crash between `flush` and commit
        doubles nothing. A sink without stored positions returns an empty mapping: it gets such labels again.
        """

    def add(self, row: Row) -> None:
        """Take one label into the present attempt. Cheap: it may check and convert, and stores nothing durably."""

    def flush(self, positions: Mapping[TopicPartition, int]) -> None:
        """Make all that was added durable, together with `positions`: the next offsets behind this attempt.

        When it returns, a crash of the process or of the machine loses none of it, and the loop commits. A sink that
        stores positions stores rows and positions in one atomic step. When it raises Busy or BadLabel, nothing of the
        attempt is stored, or storing it again changes nothing (an upsert).
        Also called with nothing added, at least once every `sink.flush_interval_ms`, for what a sink does by time.
        Time-outs of the target must keep it well below the five seconds that a rebalance waits.
        """

    def discard(self) -> None:
        """Forget what was added since the last flush: the attempt is over. Never fails."""

    def close(self) -> None:
        """Release the target; what was flushed stays, what was only added is dropped. The last call, after any error.

        Not called when the process is killed: `setup` of the next process has to cope with that.
        """
