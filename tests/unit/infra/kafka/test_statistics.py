"""What librdkafka's statistics tell of a group member."""

import json

import pytest

from infra.kafka.statistics import STANDBY_MS, lag_offsets, stands_by


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ({"state": "up", "stateage": STANDBY_MS, "assignment_size": 0}, True),
        ({"state": "up", "stateage": STANDBY_MS - 1, "assignment_size": 0}, False),
        ({"state": "up", "stateage": STANDBY_MS, "assignment_size": 3}, False),
        ({"state": "wait-coord", "stateage": STANDBY_MS, "assignment_size": 0}, False),
    ],
)
def test_a_member_without_a_share_stands_by(group: dict[str, object], expected: bool) -> None:
    assert stands_by(json.dumps({"name": "sightline#consumer-1", "cgrp": group})) is expected


def test_statistics_before_the_group_is_joined_say_nothing() -> None:
    assert not stands_by(json.dumps({"name": "sightline#consumer-1"}))


def test_the_lag_is_that_of_the_partitions_that_are_read() -> None:
    partitions = {
        "0": {"fetch_state": "active", "consumer_lag": 7},
        "1": {"fetch_state": "active", "consumer_lag": 5},
        "2": {"fetch_state": "active", "consumer_lag": -1},  # not known yet
        "3": {"fetch_state": "none", "consumer_lag": 100},  # another member's
        "-1": {"fetch_state": "none", "consumer_lag": -1},
    }
    statistics = json.dumps({"topics": {"labels": {"partitions": partitions}}})
    assert lag_offsets(statistics, "labels") == 12
    assert lag_offsets(statistics, "other") == lag_offsets("{}", "labels") == 0
