"""Bytes that no worker has finished: exact for what we wrote, estimated for the rest; when to pause and to resume."""

from hypothesis import given
from hypothesis import strategies as st

from streams.watch.backlog import Backlog


def test_what_we_wrote_counts_until_the_workers_commit_past_it() -> None:
    backlog = Backlog(1000, 10)
    backlog.wrote(0, 5, 100)
    backlog.wrote(0, 6, 200)
    backlog.wrote(1, 0, 50)
    assert backlog.bytes() == 350
    backlog.update({0: 6, 1: 0}, {0: 7, 1: 1})
    assert backlog.bytes() == 250
    backlog.update({0: 7, 1: 1}, {0: 7, 1: 1})
    assert backlog.bytes() == 0


def test_after_a_restart_the_rest_is_counted_with_a_mean_size() -> None:
    backlog = Backlog(10_000, 10)
    backlog.update({0: 0}, {0: 20})  # nobody ever committed: the topic's first offset stands in
    assert backlog.bytes() == 20 * 10
    backlog.wrote(0, 20, 300)
    assert backlog.bytes() == 300 + 20 * 300
    backlog.update({0: 20}, {0: 21})
    assert backlog.bytes() == 300


def test_reports_out_of_order_are_kept_in_order() -> None:
    backlog = Backlog(1000, 10)
    for offset, size in ((3, 30), (1, 10), (2, 20)):
        backlog.wrote(0, offset, size)
    backlog.update({0: 2}, {0: 4})
    assert backlog.bytes() == 50


def test_it_pauses_above_the_limit_and_resumes_below_three_quarters() -> None:
    backlog = Backlog(1000, 10)
    backlog.wrote(0, 0, 1000)
    assert not backlog.should_pause()
    backlog.wrote(0, 1, 1)
    assert backlog.should_pause()
    backlog.wrote(0, 2, 760)
    backlog.update({0: 2}, {})
    assert backlog.should_pause(), "760 of 1000 is still over three quarters"
    backlog.wrote(1, 0, 1)
    backlog.update({0: 3}, {})
    assert not backlog.should_pause()


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(0, 30))
def test_it_is_exact_for_our_own_batches(sizes: list[int], committed: int) -> None:
    backlog = Backlog(1000, 10)
    for offset, size in enumerate(sizes):
        backlog.wrote(0, offset, size)
    committed = min(committed, len(sizes))
    backlog.update({0: committed}, {0: len(sizes)})
    assert backlog.bytes() == sum(sizes[committed:])
