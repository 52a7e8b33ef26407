"""Windows of frames: caps hold, order holds, nothing is lost, nobody waits past the deadline."""

from hypothesis import given
from hypothesis import strategies as st

from streams.stage.windows import WindowBuilder

MAX_ITEMS, MAX_BYTES, DEADLINE_MS = 8, 1000, 20

arrivals = st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 50)), max_size=60)


def feed(steps: list[tuple[int, int]]) -> tuple[list[list[tuple[int, int, int]]], list[tuple[int, int, int]]]:
    """Items (number, size, arrival) as windows, with a clock that calls `close_due` every ms."""
    builder: WindowBuilder[tuple[int, int, int]] = WindowBuilder(MAX_ITEMS, MAX_BYTES, DEADLINE_MS)
    windows, sent, now = [], [], 0
    for number, (size, pause) in enumerate(steps):
        for _ in range(pause):
            now += 1
            for window in builder.close_due(now):
                assert now - window[0][2] <= DEADLINE_MS
                windows.append(window)
        item = (number, size, now)
        sent.append(item)
        windows += builder.add(item, size, now)
    return windows + builder.close(), sent


@given(arrivals)
def test_every_item_comes_out_once_and_in_order(steps: list[tuple[int, int]]) -> None:
    windows, sent = feed(steps)
    assert [item for window in windows for item in window] == sent


@given(arrivals)
def test_no_window_is_over_its_caps(steps: list[tuple[int, int]]) -> None:
    for window in feed(steps)[0]:
        assert 1 <= len(window) <= MAX_ITEMS
        assert len(window) == 1 or sum(size for _, size, _ in window) <= MAX_BYTES


@given(arrivals)
def test_nobody_waits_longer_than_the_deadline_from_the_first_item(steps: list[tuple[int, int]]) -> None:
    for window in feed(steps)[0]:
        assert window[-1][2] - window[0][2] <= DEADLINE_MS


def test_the_deadline_counts_from_the_first_item_and_is_not_moved_by_later_ones() -> None:
    builder: WindowBuilder[str] = WindowBuilder(10, 1000, 20)
    builder.add("a", 1, 100)
    builder.add("b", 1, 119)
    assert builder.due_ms == 120
    assert builder.close_due(119.9) == []
    assert builder.close_due(120) == [["a", "b"]]
    assert builder.due_ms is None


def test_an_item_over_the_byte_cap_is_a_window_of_its_own() -> None:
    builder: WindowBuilder[str] = WindowBuilder(10, 1000, 20)
    builder.add("small", 1, 0)
    assert builder.add("huge", 5000, 1) == [["small"], ["huge"]]
