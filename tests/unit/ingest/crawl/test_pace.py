import random

from ingest.crawl.frontier import Waiting
from ingest.crawl.pace import MAX_CRAWL_DELAY_S, Pace
from ingest.crawl.urls import Kind


def url(host: str, number: int = 0) -> Waiting:
    return Waiting(number, f"http://{host}/{number}", host, Kind.PAGE, 0, 0, "", None, None)


def pace(per_s: float = 2.0, per_host: int = 3) -> Pace:
    return Pace(per_s, per_host, random.Random(1))


def test_one_request_until_the_rules_of_a_host_are_known_and_then_its_rate_and_its_concurrency() -> None:
    made = pace()
    for number in range(9):
        made.add(url("a", number))
    assert made.take(0.0) is not None
    assert made.take(10.0) is None and made.next_s() is None
    made.known("a", 10.0, None)
    assert made.take(10.4) is None and made.next_s() == 10.5
    assert made.take(10.5) is not None and made.take(11.0) is not None
    assert made.take(99.0) is None  # three are under way
    made.done("a")
    assert made.take(99.0) is not None


def test_the_crawl_delay_counts_where_it_is_longer() -> None:
    made = pace(per_s=2.0)
    for number in range(3):
        made.add(url("a", number))
    made.take(0.0)
    made.known("a", 1.0, 7.0)
    made.done("a")
    assert made.next_s() == 8.0
    made.known("a", 1.0, 10 * MAX_CRAWL_DELAY_S)
    assert made.take(8.0) is None
    assert made.next_s() == 1.0 + MAX_CRAWL_DELAY_S


def test_hosts_do_not_wait_for_each_other() -> None:
    made = pace()
    for host in "abc":
        for number in range(2):
            made.add(url(host, number))
    assert {found.host for _ in range(3) if (found := made.take(0.0))} == {"a", "b", "c"}
    assert made.take(0.0) is None


def test_a_pause_that_was_asked_for_is_kept_and_failures_back_off_with_jitter() -> None:
    made = pace(per_s=0)
    made.add(url("a"))
    made.take(0.0)
    made.failed("a", 0.0, 30.0)
    made.done("a")
    made.add(url("a"))
    assert made.next_s() == 30.0 and made.take(29.9) is None and made.take(30.0) is not None
    pauses = []
    for number in range(40):
        made.failed("a", 100.0 * number, None)
        made.done("a")
        made.add(url("a"))
        next_s = made.next_s()
        assert next_s is not None
        pauses.append(max(0.0, next_s - 100.0 * number))
        assert made.take(next_s + 70.0) is not None
    assert max(pauses) <= 60.0 and len(set(pauses)) > 30


def test_no_rate_of_our_own() -> None:
    made = pace(per_s=0, per_host=100)
    made.add(url("a"))
    made.take(0.0)
    made.known("a", 0.0, None)
    for number in range(50):
        made.add(url("a", number))
    assert sum(made.take(0.0) is not None for _ in range(60)) == 50
    assert made.waiting("a") == 0 and made.waiting("nobody") == 0
