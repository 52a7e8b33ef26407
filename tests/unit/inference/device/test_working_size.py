"""How many images a run may hold, as time goes by."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from inference.device.working_size import FIRST_WAIT_S, LONGEST_WAIT_S, WorkingSize

I420, RGB24 = 75_264, 150_528


def test_all_fit_until_memory_is_short() -> None:
    sizes = WorkingSize(32)
    sizes.fitted(I420, 32, 0.0)
    assert sizes.allowed(I420, 0.0) == 32


def test_a_size_that_ran_out_is_halved_and_one_shape_says_nothing_about_another() -> None:
    sizes = WorkingSize(32)
    sizes.ran_out(RGB24, 32, 0.0)
    assert sizes.allowed(RGB24, 0.0) == 16
    sizes.ran_out(RGB24, 16, 0.0)
    assert sizes.allowed(RGB24, 1.0) == 8
    assert sizes.allowed(I420, 1.0) == 32
    for _ in range(9):
        sizes.ran_out(RGB24, 1, 1.0)
    assert sizes.allowed(RGB24, 1.0) == 1


def test_the_double_is_tried_after_a_while_and_each_step_waits_for_itself() -> None:
    sizes, now_s = WorkingSize(32), 100.0
    sizes.ran_out(I420, 8, now_s)
    assert sizes.allowed(I420, now_s + FIRST_WAIT_S - 0.1) == 4
    for step in (8, 16, 32):
        now_s += FIRST_WAIT_S
        assert sizes.allowed(I420, now_s) == step
        sizes.fitted(I420, step, now_s)
    assert sizes.allowed(I420, now_s) == 32


def test_a_smaller_run_than_was_tried_shows_nothing() -> None:
    sizes = WorkingSize(32)
    sizes.ran_out(I420, 16, 0.0)
    sizes.fitted(I420, 8, FIRST_WAIT_S)
    assert sizes.allowed(I420, FIRST_WAIT_S) == 16
    sizes.fitted(I420, 11, FIRST_WAIT_S)
    assert sizes.allowed(I420, FIRST_WAIT_S) == 11
    assert sizes.allowed(I420, 2 * FIRST_WAIT_S) == 22


def test_tries_that_fail_become_rare() -> None:
    sizes, now_s, tries = WorkingSize(32), 0.0, []
    sizes.ran_out(I420, 32, now_s)
    while now_s < 4 * 3600:
        now_s += 1.0
        if sizes.allowed(I420, now_s) > 16:
            tries.append(now_s)
            sizes.ran_out(I420, 32, now_s)
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert gaps[0] == 2 * FIRST_WAIT_S and max(gaps) == LONGEST_WAIT_S
    assert len(tries) < 40
    now_s += LONGEST_WAIT_S
    sizes.fitted(I420, 20, now_s)
    assert sizes.allowed(I420, now_s + FIRST_WAIT_S) == 32  # it changed after all: tried soon again


@given(
    st.integers(1, 100),
    st.lists(st.tuples(st.sampled_from(["ran out", "fitted"]), st.integers(1, 100), st.floats(0, 1e4)), max_size=40),
)
def test_it_is_always_from_one_to_the_limit(limit: int, history: list[tuple[str, int, float]]) -> None:
    sizes, now_s = WorkingSize(limit), 0.0
    for what, wanted, later_s in history:
        now_s += later_s
        allowed = sizes.allowed(I420, now_s)
        assert 1 <= allowed <= limit
        rows = min(wanted, allowed)
        if what == "fitted":
            sizes.fitted(I420, rows, now_s)
            assert sizes.allowed(I420, now_s) >= rows
        else:
            sizes.ran_out(I420, rows, now_s)
            assert sizes.allowed(I420, now_s) <= max(1, rows // 2)
