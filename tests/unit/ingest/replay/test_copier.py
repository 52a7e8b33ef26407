"""The copier: each frame once, whatever ends it, and the place of the next one with every transaction."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from infra.kafka.records import ConsumedRecord
from infra.kafka.sender import OutRecord
from infra.kafka.spans import Span
from infra.process.lifecycle import Stop
from infra.replay.brake import Braking
from ingest.replay.copier import Copier
from ingest.replay.pacing import parse_rate
from schemas.cache_headers import may_be_cached
from schemas.coordinates import Coordinates
from schemas.headers import replay_id_of, replay_of
from schemas.replays import OffsetRange, ReplayAction, ReplayGap, ReplayPlan, ReplayProgress, ReplayState

TOPIC, LANE = "frames.raw", "frames.replay"
RECORDS = [
    ConsumedRecord(TOPIC, number % 2, number // 2, 1_000 + number, b"dock-%d" % (number % 3), b"x" * 10, [])
    for number in range(20)
]
PLAN = ReplayPlan(20, 200, True, (), (OffsetRange(TOPIC, 0, 0, 10), OffsetRange(TOPIC, 1, 0, 10)))
NEW = ReplayProgress("again", ReplayState.STARTED, TOPIC, 0, 10_000_000, 1, 1, "here/1", PLAN)


class Log:
    """What is committed: copies and progress together. A write fails after `left` transactions."""

    def __init__(self, left: int = 1_000) -> None:
        self.copies: list[OutRecord] = []
        self._added: list[OutRecord] = []
        self.committed: ReplayProgress | None = None
        self.left = left

    def add(self, record: OutRecord) -> None:
        self._added.append(record)

    def commit(self, progress: ReplayProgress) -> None:
        added, self._added = self._added, []
        if not self.left:
            raise ConnectionError("killed")
        self.left -= 1
        self.copies += added
        self.committed = progress

    def wait(self) -> None:
        pass

    def places(self, replay_id: str = "again") -> Counter[Coordinates | None]:
        return Counter(replay_of(one.headers) for one in self.copies if replay_id_of(one.headers) == replay_id)


class Clock:
    """Each look at it takes `step_s`."""

    def __init__(self, step_s: float = 0.0) -> None:
        self.now_s, self.step_s = 0.0, step_s

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


class Waiting(Stop):
    """A stop for which nobody waits really."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout_s: float | None = None) -> bool:
        self._clock.now_s += timeout_s or 0.0
        return self.is_set()


def reading(spans: Sequence[Span], below: int | None = None) -> Iterator[ConsumedRecord]:
    for span in spans:
        yield from (one for one in RECORDS if one.partition == span.partition and span.start <= one.offset < span.end)


def copied(
    progress: ReplayProgress,
    log: Log,
    *,
    records: Callable[[Sequence[Span], int | None], Iterator[ConsumedRecord]] = reading,
    gaps: list[ReplayGap] | None = None,
    step_s: float = 0.0,
    stop: Stop | None = None,
    asked: Callable[[], ReplayAction | None] = lambda: None,
    rate: str | None = None,
    braking: Callable[[], Braking] = Braking,
) -> tuple[ReplayProgress, Clock]:
    clock = Clock(step_s)
    copier = Copier(
        progress,
        LANE,
        records,
        [] if gaps is None else gaps,
        log,
        stop or Waiting(clock),
        rate=parse_rate(rate),
        asked=asked,
        braking=braking,
        clock=clock,
    )
    return copier.run(), clock


def all_places(records: Sequence[ConsumedRecord] = RECORDS) -> Counter[Coordinates]:
    return Counter(one.coordinates for one in records)


def test_all_frames_of_the_plan_are_copied_once_and_it_is_completed() -> None:
    log = Log()
    done, _ = copied(NEW, log)
    assert log.places() == all_places()
    assert (done.state, done.copied, done.copied_bytes, done.skipped) == (ReplayState.COMPLETED, 20, 200, 0)
    assert done.positions == (Coordinates(TOPIC, 0, 10), Coordinates(TOPIC, 1, 10))
    assert done == log.committed


def test_frames_that_are_not_selected_are_counted() -> None:
    log = Log()
    wanted = replace(NEW, from_at=1_005_000, to_at=1_015_000, source_glob="dock-1")
    done, _ = copied(wanted, log)
    right = [one for one in RECORDS if 1_005 <= one.timestamp_ms < 1_015 and one.key == b"dock-1"]
    assert log.places() == all_places(right)
    assert (done.copied, done.skipped) == (len(right), 20 - len(right))


@pytest.mark.parametrize("transactions", range(10))
def test_killed_after_any_transaction_a_resumed_copier_goes_on_exactly_there(transactions: int) -> None:
    log, progress = Log(transactions), NEW
    with pytest.raises(ConnectionError):
        copied(progress, log, step_s=0.3)
    log.left = 1_000
    done, _ = copied(log.committed or NEW, log)
    assert log.places() == all_places()
    assert done.copied == 20


@pytest.mark.parametrize(
    ("action", "state"), [(ReplayAction.PAUSE, ReplayState.PAUSED), (ReplayAction.CANCEL, ReplayState.ABORTED)]
)
def test_a_request_ends_it_after_what_was_copied(action: ReplayAction, state: ReplayState) -> None:
    log, looks = Log(), iter(range(1_000))
    done, _ = copied(NEW, log, asked=lambda: action if next(looks) > 14 else None)
    assert done.state is state
    assert 0 < done.copied < 20
    assert sum(log.places().values()) == done.copied
    resumed, _ = copied(done, log)
    assert (resumed.state, log.places()) == (ReplayState.COMPLETED, all_places())


def test_a_stop_pauses_it_even_while_it_waits_for_its_turn() -> None:
    log, clock = Log(), Clock()

    class Stopping(Waiting):
        def wait(self, timeout_s: float | None = None) -> bool:
            if clock.now_s > 3:
                self.set()
            return super().wait(timeout_s)

    stop = Stopping(clock)
    copier = Copier(NEW, LANE, reading, [], log, stop, rate=parse_rate("2/s"), clock=clock)
    done = copier.run()
    assert (done.state, done.reason) == (ReplayState.PAUSED, "its copier was stopped")
    assert 5 <= done.copied <= 8


def test_while_it_waits_the_progress_is_written() -> None:
    log, factor = Log(), iter([0.0] * 100)
    _, clock = copied(NEW, log, step_s=0.02, braking=lambda: Braking(next(factor, 1.0), "the live lane is behind"))
    assert clock.now_s > 20
    assert 1_000 - log.left > clock.now_s / 5, "at least every few seconds"
    assert log.places() == all_places()


def test_what_is_gone_is_a_gap_and_is_not_found_again() -> None:
    gaps: list[ReplayGap] = []

    def eaten(spans: Sequence[Span], below: int | None) -> Iterator[ConsumedRecord]:
        for record in reading(spans):
            if record.partition == 1 and record.offset < 4:
                continue
            if record.partition == 1 and record.offset == 4 and not gaps:
                gaps.append(ReplayGap(TOPIC, 1, 0, 4, "retention"))
            yield record

    log = Log()
    done, _ = copied(NEW, log, records=eaten, gaps=gaps)
    assert done.gaps == (ReplayGap(TOPIC, 1, 0, 4, "retention"),)
    assert done.copied == 16
    again, _ = copied(replace(done, state=ReplayState.PAUSED), log, records=eaten, gaps=[])
    assert (again.gaps, again.copied) == (done.gaps, 16)


def test_the_frames_of_the_noise_go_twice_more_past_the_cache() -> None:
    log = Log()
    done, _ = copied(replace(NEW, noise=5), log)
    assert log.places() == all_places()
    first, second = log.places("again.a"), log.places("again.b")
    assert first == second
    assert 0 < len(first) < 20
    assert (done.copied, done.noise_copied, done.part) == (20, 2 * len(first), "b")
    assert all(may_be_cached(one.headers) is (replay_id_of(one.headers) == "again") for one in log.copies)


def test_a_copier_killed_in_the_noise_goes_on_there() -> None:
    log = Log(3)
    with pytest.raises(ConnectionError):
        copied(replace(NEW, noise=20), log, step_s=0.3)
    while log.committed is None or not log.committed.state.is_final:
        log.left = 3
        try:
            copied(log.committed or replace(NEW, noise=20), log, step_s=0.3)
        except ConnectionError:
            continue
    assert [log.places(one) for one in ("again", "again.a", "again.b")] == [all_places()] * 3
