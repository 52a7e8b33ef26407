"""What the contract suite of sinks needs to know of one sink, and sinks that are killed in the middle of a call."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Mapping

import pytest

from schemas.coordinates import Coordinates, TopicPartition
from sinks.base.contract import Row, Sink
from tests.support.label_log import TOPIC, LabelLog, SinkRun

ONE, TWO = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)


class Killed(BaseException):
    """Stands for the end of the process at this point."""


class KilledSink:
    """A sink whose process is killed at the nth call of one of its methods, before or after that call."""

    def __init__(self, sink: Sink, method: str = "", *, nth: int = 1, after: bool = False) -> None:
        self._sink = sink
        self.name = sink.name
        self.arm(method, nth=nth, after=after)

    def arm(self, method: str, *, nth: int, after: bool) -> None:
        self._method, self._left, self._after = method, nth, after

    def setup(self, log_id: str) -> None:
        self._sink.setup(log_id)

    def positions(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        return self._sink.positions(partitions)

    def add(self, row: Row) -> None:
        self._kill("add", lambda: self._sink.add(row))

    def flush(self, positions: Mapping[TopicPartition, int]) -> None:
        self._kill("flush" if positions else "idle", lambda: self._sink.flush(positions))

    def discard(self) -> None:
        self._sink.discard()

    def close(self) -> None:
        self._sink.close()

    def _kill(self, method: str, call: Callable[[], None]) -> None:
        self._left -= method == self._method
        is_due = self._left == 0 and method == self._method
        if is_due and not self._after:
            raise Killed
        call()
        if is_due:
            raise Killed


class SinkTarget(ABC):
    """`is_exactly_once` is False for a target that stores no positions and cannot upsert: then at least once holds."""

    is_exactly_once = True

    @abstractmethod
    def reset(self) -> None:
        """A new, empty target; called before every test and every example of one."""

    @abstractmethod
    def open(self) -> Sink:
        """A new sink, as a new process makes it, on the target of this test."""

    @abstractmethod
    def kill(self, sink: Sink) -> None:
        """Free only what the end of a process frees, such as locks."""

    @abstractmethod
    def stored(self) -> list[Coordinates]:
        """The places of the labels that the target holds durably."""

    @abstractmethod
    def set_busy(self, is_busy: bool) -> None:
        """Let the target refuse all labels for now (Busy), or take them again."""

    # -- helpers

    @pytest.fixture(autouse=True)
    def _new_target(self) -> None:
        self.reset()

    def expect(self, places: Collection[Coordinates]) -> None:
        if self.is_exactly_once:
            assert sorted(map(str, self.stored())) == sorted(map(str, places))
        else:
            assert Counter(self.stored()) >= Counter(places)
            assert set(self.stored()) == set(places)

    def restarted(self, log: LabelLog, sink: Sink, **options: int) -> SinkRun:
        self.kill(sink)
        run = SinkRun(log, self.open(), **options)  # type: ignore[arg-type]
        run.turn_until_idle()
        return run
