"""Which places are looked at for markers, and for how long what was found there holds."""

from collections.abc import Mapping

import pytest

from infra.kafka.listed import ListedGroup, LogEnds
from infra.lag import markers
from infra.lag.look import ClusterLook, GroupLook
from infra.lag.markers import MAX_LAG, MAX_PARTITIONS, Markers
from infra.lag.rules.lag_time import Unread
from infra.settings import Settings
from schemas.coordinates import TopicPartition

FIRST, SECOND = TopicPartition("labels", 0), TopicPartition("labels", 1)


class Records:
    """Answers what it is told to, and keeps the questions."""

    def __init__(self) -> None:
        self.asked: list[dict[TopicPartition, int]] = []
        self.has_record: dict[TopicPartition, bool] = {}

    def look(self, offsets: Mapping[TopicPartition, int], budget_s: float) -> dict[TopicPartition, bool]:
        self.asked.append(dict(offsets))
        return {key: self.has_record[key] for key in offsets if key in self.has_record}


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> Records:
    made = Records()
    monkeypatch.setattr(markers, "LastRecords", lambda _settings: made)
    return made


def look(committed: dict[TopicPartition, int], stable: int = 10) -> ClusterLook:
    group = GroupLook(ListedGroup("g", "Empty", "classic"), [], committed)
    return ClusterLook(0.0, 0, [group], {key: LogEnds(0, stable, stable) for key in committed})


def test_only_what_has_not_moved_since_the_last_look_is_read_and_once(records: Records) -> None:
    found = Markers(Settings())
    records.has_record = {FIRST: False, SECOND: True}
    assert found.bare(look({FIRST: 9, SECOND: 9})) == frozenset()
    assert records.asked == []
    assert found.bare(look({FIRST: 9, SECOND: 9})) == {Unread(FIRST, 9)}
    assert found.bare(look({FIRST: 9, SECOND: 9})) == {Unread(FIRST, 9)}
    assert records.asked == [{FIRST: 9, SECOND: 9}]


def test_what_was_found_holds_until_the_log_or_the_group_moves(records: Records) -> None:
    found = Markers(Settings())
    records.has_record = {FIRST: False}
    for _ in range(2):
        found.bare(look({FIRST: 9}))
    assert found.bare(look({FIRST: 9}, stable=12)) == frozenset()
    assert found.bare(look({FIRST: 11}, stable=12)) == frozenset()
    assert found.bare(look({FIRST: 11}, stable=12)) == {Unread(FIRST, 11)}


def test_an_answer_that_does_not_come_is_asked_for_again(records: Records) -> None:
    found = Markers(Settings())
    for _ in range(3):
        assert found.bare(look({FIRST: 9})) == frozenset()
    assert len(records.asked) == 2


def test_a_large_lag_is_no_marker_and_the_reads_of_a_look_are_bounded(records: Records) -> None:
    found = Markers(Settings())
    for _ in range(2):
        found.bare(look({FIRST: 0, SECOND: 20}, stable=MAX_LAG + 1))
    assert records.asked == []
    many = {TopicPartition("labels", number): 9 for number in range(MAX_PARTITIONS + 9)}
    for _ in range(2):
        found.bare(look(many))
    assert [len(one) for one in records.asked] == [MAX_PARTITIONS]
