"""The stop flag and the budgets that begin now, or when it is set."""

import math
import os
import signal
import time
from collections.abc import Iterator

import pytest

from infra.process.lifecycle import Deadline, Stop, StopBudget, print_end
from schemas.errors import Stalled


@pytest.fixture
def now_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock, which stands still until the one element of the list is changed."""
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return clock


@pytest.fixture
def restored_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_deadline_counts_from_its_creation(now_s: list[float]) -> None:
    deadline = Deadline(5.0)
    now_s[0] += 4.0
    assert (deadline.remaining_s(), deadline.expired()) == (1.0, False)
    now_s[0] += 2.0
    assert (deadline.remaining_s(), deadline.expired()) == (0.0, True)


def test_a_stop_budget_is_endless_before_the_stop(now_s: list[float]) -> None:
    budget = StopBudget(Stop(), 9.0)
    now_s[0] += 1_000.0
    assert (budget.remaining_s(), budget.expired()) == (math.inf, False)
    assert budget.at_most_s(60.0, keep_s=5.0) == 60.0


def test_a_stop_budget_counts_from_the_stop_and_not_from_the_first_look(now_s: list[float]) -> None:
    stop = Stop()
    budget = StopBudget(stop, 9.0)
    stop.set()
    now_s[0] += 4.0
    assert (budget.remaining_s(), budget.expired()) == (5.0, False)
    stop.set(RuntimeError("later"))  # a second reason gives no more time
    now_s[0] += 5.0
    assert (budget.remaining_s(), budget.expired()) == (0.0, True)


def test_a_wait_gets_what_is_left_less_what_is_kept_for_others(now_s: list[float]) -> None:
    stop = Stop()
    budget = StopBudget(stop, 9.0)
    stop.set()
    assert budget.at_most_s(60.0) == 9.0
    assert budget.at_most_s(2.0) == 2.0
    assert budget.at_most_s(60.0, keep_s=2.5) == 6.5
    now_s[0] += 8.0
    assert budget.at_most_s(60.0, keep_s=2.5) == 0.0


def test_budgets_of_one_stop_count_from_the_same_moment(now_s: list[float]) -> None:
    stop = Stop()
    publishing, whole = StopBudget(stop, 5.0), StopBudget(stop, 9.0)
    stop.set()
    now_s[0] += 6.0
    assert (publishing.expired(), whole.remaining_s()) == (True, 3.0)


@pytest.mark.usefixtures("restored_signals")
def test_a_signal_sets_the_flag_and_starts_the_budget() -> None:
    stop = Stop().install()
    budget = StopBudget(stop, 9.0)
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.wait(5.0)
    assert budget.remaining_s() <= 9.0
    stop.raise_error()  # a signal is no error


@pytest.mark.usefixtures("restored_signals")
def test_a_signal_breaks_off_work_that_does_not_look() -> None:
    stop = Stop().install()

    def work() -> str:
        os.kill(os.getpid(), signal.SIGINT)
        return "finished"

    assert stop.unless_stopped(work) is None
    assert stop.is_set()
    assert stop.unless_stopped(lambda: "finished") is None


def test_the_first_error_is_the_one_that_the_process_ends_with() -> None:
    stop = Stop()
    stop.set(RuntimeError("first"))
    stop.set(RuntimeError("second"))
    with pytest.raises(RuntimeError, match="first"):
        stop.raise_error()


def test_a_process_that_cannot_unwind_says_why_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_end(None) == 0
    assert capsys.readouterr().err == ""
    assert print_end(Stalled("nothing moves")) == 1
    assert capsys.readouterr().err == "sightline: nothing moves\n"
    assert print_end(RuntimeError("a defect")) == 1
    assert "RuntimeError: a defect" in capsys.readouterr().err
