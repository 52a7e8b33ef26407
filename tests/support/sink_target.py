"""The interface between the contract suite and one kind of sink, and a sink that is killed in the middle of a call."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Mapping

import pytest

from schemas.coordinates import Coordinates, TopicPartition
from sinks.base.contract import Row, Sink
from tests.support.label_log import TOPIC, LabelLog, SinkRun

ONE, TWO = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)


class Killed(BaseException):
    """Stands for the end of the process: nothing of it runs after this."""


class KilledSink:
    """A sink whose process is killed before or after the nth call of one of its methods."""

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
    """One kind of sink under test. `is_exactly_once`: False if its target neither stores positions nor can upsert."""

    is_exactly_once = True

    @abstractmethod
    def reset(self) -> None:
        """Provide a new, empty target. Called before each test and each example of a property test."""

    @abstractmethod
    def open(self) -> Sink:
        """A new sink on the present target, as a new process creates it."""

    @abstractmethod
    def kill(self, sink: Sink) -> None:
        """Release only what the end of the process releases, such as locks."""

    @abstractmethod
    def stored(self) -> list[Coordinates]:
        """The coordinates of the labels that are durably in the target."""

    @abstractmethod
    def set_busy(self, is_busy: bool) -> None:
        """Make the target busy, or let it store labels again."""

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
