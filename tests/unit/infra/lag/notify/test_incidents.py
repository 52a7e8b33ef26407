"""When an incident opens, is told again, and closes."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.lag.notify.incidents import MAX_EVENTS, EventKind, Incidents
from infra.lag.rules.status import LagStatus
from infra.settings import NotifySettings
from tests.support.lag_reports import group_report

OK, WARN, ERR, NOTFOUND = LagStatus.OK, LagStatus.WARN, LagStatus.ERR, LagStatus.NOTFOUND


def incidents(**settings: object) -> Incidents:
    ids = count(1)
    chosen = {"kind": "webhook", "url": "http://127.0.0.1/", **settings}
    return Incidents(NotifySettings.model_validate(chosen), lambda: f"i-{next(ids)}")


def told(found: Incidents, *looks: tuple[float, LagStatus]) -> list[tuple[float, str, str]]:
    """What is told at which time: the kind of the event and the incident's id."""
    return [
        (at_s, str(event.kind), event.incident_id)
        for at_s, status in looks
        for event in found.look([group_report(status)], at_s)
    ]


def test_an_incident_is_told_once_and_its_end_after_a_while() -> None:
    looks = [(0, OK), (10, ERR), (20, ERR), (30, OK), (60, OK), (90, OK), (100, OK)]
    assert told(incidents(), *looks) == [(10, "open", "i-1"), (90, "close", "i-1")]
    assert told(incidents(send_close=False), *looks) == [(10, "open", "i-1")]


def test_a_group_on_the_edge_makes_one_incident() -> None:
    looks = [(10.0 * n, ERR if n % 3 else OK) for n in range(100)]
    assert told(incidents(), *looks) == [(10, "open", "i-1")]


def test_it_is_told_again_after_a_while_and_at_once_when_it_gets_worse() -> None:
    looks = [(0, WARN), (50, WARN), (100, WARN), (110, ERR), (160, ERR), (210, ERR), (220, WARN)]
    assert told(incidents(repeat_s=100), *looks) == [
        (0, "open", "i-1"),
        (100, "again", "i-1"),
        (110, "again", "i-1"),
        (210, "again", "i-1"),
    ]
    assert told(incidents(repeat_s=0), *looks) == [(0, "open", "i-1"), (110, "again", "i-1")]


def test_a_second_incident_has_an_id_of_its_own() -> None:
    looks = [(0, ERR), (10, OK), (70, OK), (80, ERR)]
    assert told(incidents(), *looks) == [(0, "open", "i-1"), (70, "close", "i-1"), (80, "open", "i-2")]


def test_the_threshold_and_the_patterns_choose() -> None:
    assert told(incidents(threshold="ERR"), (0, WARN), (10, ERR)) == [(10, "open", "i-1")]
    assert told(incidents(include=["other*"]), (0, ERR)) == []
    assert told(incidents(exclude=["g"]), (0, ERR)) == []


def test_a_group_that_is_not_there_for_a_moment_closes_nothing() -> None:
    assert told(incidents(), (0, ERR), (10, NOTFOUND), (200, NOTFOUND)) == [(0, "open", "i-1")]


def test_what_is_told_at_once_is_bounded() -> None:
    reports = [group_report(ERR, f"g-{n}") for n in range(MAX_EVENTS + 50)]
    found = incidents()
    assert len(found.look(reports, 0)) == MAX_EVENTS
    assert len(found.look(reports, 10)) == 50, "the others are told at the next look"


@given(st.lists(st.tuples(st.floats(0.1, 500), st.sampled_from([OK, WARN, ERR, NOTFOUND])), max_size=60))
def test_every_close_has_its_opening_and_none_opens_twice(steps: list[tuple[float, LagStatus]]) -> None:
    found, at_s, opened, closed = incidents(), 0.0, set[str](), set[str]()
    for wait_s, status in steps:
        at_s += wait_s
        for event in found.look([group_report(status)], at_s):
            if event.kind is EventKind.OPEN:
                assert event.incident_id not in opened
                assert opened == closed, "the one before is over"
                opened.add(event.incident_id)
            else:
                assert event.incident_id in opened - closed
            if event.kind is EventKind.CLOSE:
                closed.add(event.incident_id)


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "webhook", "url": "ftp://example.org"},
        {"kind": "slack"},
        {"kind": "email", "url": "smtp://mail"},
        {"kind": "pagerduty"},
        {"kind": "pigeon", "url": "http://x"},
    ],
)
def test_a_way_that_cannot_work_is_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"notification|kind|receivers|secret"):
        NotifySettings.model_validate(settings)
