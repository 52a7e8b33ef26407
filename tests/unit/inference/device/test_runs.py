"""The plan of the next run: what a run is made of and when it starts."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.device.runs import Part, RunPlanner

MAX_ROWS, DELAY_MS = 8, 10


@dataclass(frozen=True)
class Item:
    number: int
    kind: str
    rows: int


def filled(*rows: int, kind: str = "a", at_ms: float = 0) -> RunPlanner[str]:
    planner: RunPlanner[str] = RunPlanner(MAX_ROWS, DELAY_MS)
    for number, count in enumerate(rows):
        planner.add(f"w{number}", kind, count, 100 * count, at_ms)
    return planner


@pytest.mark.parametrize(
    ("rows", "now_ms", "idle", "taken"),
    [
        ([], 99, True, []),
        ([3], 0, True, []),  # the delay is counted from its arrival
        ([3], 9, True, []),
        ([3], 10, True, [3]),
        ([3], 99, False, []),  # a busy device leaves it time to grow
        ([8], 0, False, [8]),  # a full run is laid out at once
        ([3, 5], 0, True, [3, 5]),
        ([3, 6], 0, True, [3, 5]),  # the last one is split
        ([20], 0, True, [8]),
        ([0], 0, False, [0]),  # nothing to run: passes through
        ([0, 0, 3], 0, False, [0, 0]),
        ([8, 0], 0, True, [8, 0]),
    ],
)
def test_a_run_starts_full_or_late(rows: list[int], now_ms: float, idle: bool, taken: list[int]) -> None:
    planner = filled(*rows)
    assert [part.count for part in planner.take(now_ms, idle)] == taken


def test_a_split_batch_goes_on_where_it_was_cut() -> None:
    planner = filled(20)
    parts = [planner.take(0, True), planner.take(0, True), planner.take(DELAY_MS, True)]
    assert parts == [[Part("w0", 0, 8)], [Part("w0", 8, 8)], [Part("w0", 16, 4)]]
    assert planner.size_bytes == 0
    assert len(planner) == 0


def test_another_kind_closes_the_run_early() -> None:
    planner = filled(3)
    planner.add("other", "b", 8, 1, 0)
    assert planner.take(0, idle=False) == []
    assert planner.take(0, idle=True) == [Part("w0", 0, 3)]
    assert planner.take(0, idle=False) == [Part("other", 0, 8)]


def test_bytes_count_until_the_last_row_is_taken() -> None:
    planner = filled(12)
    planner.take(0, True)
    assert planner.size_bytes == 1200
    planner.take(DELAY_MS, True)
    assert planner.size_bytes == 0


def test_drop_takes_back_what_is_left_over_too() -> None:
    planner = filled(12, 3)
    planner.take(0, True)
    assert planner.drop(lambda work: work == "w0") == ["w0"]
    assert planner.size_bytes == 300
    assert planner.take(DELAY_MS, True) == [Part("w1", 0, 3)]


ITEMS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 20), st.integers(0, 30)), max_size=30)


@given(ITEMS, st.integers(1, 9), st.integers(0, 40))
def test_every_row_comes_once_in_order_and_never_late(
    items: list[tuple[str, int, int]], max_rows: int, delay_ms: int
) -> None:
    planner: RunPlanner[Item] = RunPlanner(max_rows, delay_ms)
    now_ms, added, taken = 0, [], list[Part[Item]]()

    def take_all(idle: bool) -> None:
        while parts := planner.take(now_ms, idle):
            assert sum(part.count for part in parts) <= max_rows
            assert len({part.work.kind for part in parts if part.count}) <= 1
            taken.extend(parts)

    for number, (kind, rows, pause_ms) in enumerate(items):
        work = Item(number, kind, rows)
        added.append(work)
        planner.add(work, kind, rows, rows, now_ms)
        take_all(idle=number % 2 == 0)
        wait_ms = planner.wait_ms(now_ms, True)
        assert wait_ms is None or 0 <= wait_ms <= delay_ms
        now_ms += pause_ms
    now_ms += delay_ms
    take_all(idle=True)
    assert planner.size_bytes == 0
    assert [(part.work.number, part.start + row) for part in taken for row in range(part.count)] == [
        (work.number, row) for work in added for row in range(work.rows)
    ]
    assert {part.work.number for part in taken} == {work.number for work in added}


@given(ITEMS, st.integers(0, 60), st.booleans())
def test_take_gives_something_exactly_when_the_wait_is_over(
    items: list[tuple[str, int, int]], now_ms: int, idle: bool
) -> None:
    planner: RunPlanner[int] = RunPlanner(MAX_ROWS, DELAY_MS)
    for number, (kind, rows, _) in enumerate(items):
        planner.add(number, kind, rows, rows, 0)
    wait_ms = planner.wait_ms(now_ms, idle)
    assert bool(planner.take(now_ms, idle)) == (wait_ms == 0)
