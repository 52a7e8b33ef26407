"""When a worker counts as stalled: work that waits without a commit."""

from inference.worker.stall_watchdog import StallWatchdog
from infra.process.lifecycle import Stop

T = 60_000  # the stall time-out
STEP_MS = 1_000


class Look:
    """A watchdog over a worker that the test describes; `after` looks once a second, as long as it is told."""

    def __init__(self) -> None:
        self.waits, self.commit_s, self.now_ms = False, 0.0, 0
        self.starved: str | None = None
        self.dog = StallWatchdog(lambda: self.waits, lambda: self.commit_s, lambda: self.starved, T, Stop())
        self.dog.look(0)

    def after(self, ms: int) -> str | None:
        """The first thing that it says within that time."""
        for _ in range(ms // STEP_MS):
            self.now_ms += STEP_MS
            if reason := self.dog.look(self.now_ms):
                return reason
        return None


def test_only_work_that_waits_without_a_commit_is_a_stall() -> None:
    look = Look()
    assert look.after(10 * T) is None, "nothing to do is no stall, however long"
    look.waits = True
    assert look.after(T) is None
    look.commit_s = 1.0
    assert look.after(T) is None
    assert look.after(2 * STEP_MS) == "frames wait and nothing was committed for 61 s"
    look.waits = False
    assert look.after(STEP_MS) is None
    look.waits = True
    assert look.after(T - STEP_MS) is None


def test_a_frozen_worker_has_its_time_when_it_wakes() -> None:
    look = Look()
    look.waits = True
    assert look.after(STEP_MS) is None
    for _ in range(2):
        look.now_ms += 3_600_000
        assert look.after(T - 10 * STEP_MS) is None
        look.commit_s += 1
    assert look.after(T + 2 * STEP_MS) is not None, "one that stays stuck is ended all the same"


def test_what_the_group_tells_ends_the_worker_too() -> None:
    look = Look()
    look.starved = "micro-batches wait"
    assert look.after(STEP_MS) == "micro-batches wait"
