"""Metrics under the names of published dashboards: nothing unknown is told, and nothing of the last look stays."""

import math
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from infra.kafka.listed import ClusterTopics, LogEnds, PartitionPlace
from infra.lag.look import ClusterLook
from infra.lag.reports import GroupReport
from infra.lag.rules.burrow_store import BurrowStore
from infra.lag.rules.status import LagStatus
from infra.lag.serve.exporter import Seen
from infra.lag.serve.scale import scale_json
from infra.lag.serve.served import FAMILIES, Served
from schemas.coordinates import TopicPartition
from tests.support.lag_reports import group_report, partition_report

TOPICS = ClusterTopics(
    {"frames.raw": {0: PartitionPlace(1, (1, 2), (1, 2)), 1: PartitionPlace(-1, (2, 1), (1,))}},
    {1: "a:9092", 2: "b:9092"},
)
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
MEMBER = {"member_host": "10.0.0.7", "consumer_id": "m-1", "client_id": "stream"}


def seen(*reports: GroupReport) -> Seen:
    ends = {TopicPartition("frames.raw", n): LogEnds(10, 120 - n, 120 - n) for n in range(2)}
    return Seen("east", ClusterLook(0.0, 1_790_000_000_000, [], ends, topics=TOPICS), reports, BurrowStore(), 0.25)


def served(*families: str) -> Served:
    return Served("east", BurrowStore(), [], families or tuple(FAMILIES), interval_s=10)


def metrics_of(one: Served) -> Samples:
    page = one.answer("GET", "/metrics")
    assert page is not None
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page.body.decode())
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, tuple(sorted(labels.items()))))


@pytest.fixture
def found() -> Samples:
    late = partition_report(0, 20, start=10, lost=5, retention_s=12.0)
    never = partition_report(1, 119, committed=None, lag_s=None, member_id="", client_id="", host="")
    one = served()
    one.update(
        seen(group_report(partitions=[late, never]), group_report(LagStatus.NOTFOUND, "gone", state="", partitions=[]))
    )
    return metrics_of(one)


def test_the_names_and_labels_of_kafka_lag_exporter(
    found: Samples,
) -> None:
    place = {"cluster_name": "east", "group": "g", "topic": "frames.raw", "partition": "0", **MEMBER}
    expected = {
        "offset": 100,
        "lag": 20,
        "lag_seconds": 3.0,
        "messages_lost": 5,
        "retention_margin": 90,
        "lag_retention_ratio": pytest.approx(100 * 25 / 110),
    }
    for name, number in expected.items():
        assert value(found, f"kafka_consumergroup_group_{name}", **place) == number, name
    group = {"cluster_name": "east", "group": "g"}
    assert value(found, "kafka_consumergroup_group_max_lag", **group) == 119
    assert value(found, "kafka_consumergroup_group_sum_lag", **group) == 139
    assert value(found, "kafka_consumergroup_group_max_lag_seconds", **group) == 3.0
    assert value(found, "kafka_consumergroup_group_topic_sum_lag", topic="frames.raw", **group) == 139
    assert value(found, "kafka_consumergroup_group_state", **group) == 3
    first = {"cluster_name": "east", "topic": "frames.raw", "partition": "0"}
    assert value(found, "kafka_partition_latest_offset", **first) == 120
    assert value(found, "kafka_partition_earliest_offset", **first) == 10
    assert value(found, "kafka_consumergroup_poll_time_ms", cluster_name="east") == 250


def test_the_names_and_labels_of_kafka_exporter(found: Samples) -> None:
    topic = {"consumergroup": "g", "topic": "frames.raw"}
    assert value(found, "kafka_consumergroup_lag", partition="0", **topic) == 20
    assert value(found, "kafka_consumergroup_current_offset", partition="0", **topic) == 100
    assert value(found, "kafka_consumergroup_lag_sum", **topic) == 20
    assert value(found, "kafka_consumergroup_current_offset_sum", **topic) == 100
    assert value(found, "kafka_consumergroup_members", consumergroup="g") == 2
    assert value(found, "kafka_brokers") == 2
    assert value(found, "kafka_broker_info", id="2", address="b:9092") == 1
    assert value(found, "kafka_topic_partitions", topic="frames.raw") == 2
    second = {"topic": "frames.raw", "partition": "1"}
    assert value(found, "kafka_topic_partition_leader", **second) is None, "it has none"
    assert value(found, "kafka_topic_partition_replicas", **second) == 2
    assert value(found, "kafka_topic_partition_in_sync_replica", **second) == 1
    assert value(found, "kafka_topic_partition_under_replicated_partition", **second) == 1
    assert value(found, "kafka_topic_partition_leader_is_preferred", **second) == 0
    assert value(found, "kafka_topic_partition_current_offset", **second) == 119
    assert value(found, "kafka_topic_partition_oldest_offset", **second) == 10


def test_what_is_not_known_is_absent_and_never_minus_one_or_nan(
    found: Samples,
) -> None:
    assert all(not math.isnan(one) and one >= 0 for one in found.values())
    assert not [labels for (name, labels) in found if "group_lag" in name and ("partition", "1") in labels]
    assert value(found, "sightline_lag_never_committed", cluster="east", group="g") == 1
    assert value(found, "sightline_lag_status", cluster="east", group="gone") == 0
    assert value(found, "sightline_lag_eta_seconds", cluster="east", group="g") is None


def test_a_member_that_has_left_leaves_no_series() -> None:
    one = served()
    one.update(seen(group_report()))
    assert [labels for _, labels in metrics_of(one) if ("consumer_id", "m-1") in labels]
    one.update(seen(group_report(partitions=[partition_report(member_id="m-2")])))
    assert not [labels for _, labels in metrics_of(one) if ("consumer_id", "m-1") in labels]


def test_values_of_a_cluster_that_does_not_answer_are_told_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    one = served()
    assert one.ready() == "the first look has not ended yet"
    assert metrics_of(one) == {}, "nothing is known before the first look"
    one.update(seen(group_report()))
    assert one.ready() is None
    later = iter_from(1000.0)
    monkeypatch.setattr("infra.lag.serve.served.time.monotonic", lambda: next(later) + 1e9)
    one.failed("Kafka does not answer")
    assert one.ready() == "Kafka does not answer"
    assert set(metrics_of(one).values()) == {0.0}
    page = one.answer("GET", "/v1/scale/g")
    assert page is not None
    assert page.status == 503


def iter_from(start: float) -> Iterator[float]:
    while True:
        yield start
        start += 1


def test_a_family_can_be_left_out() -> None:
    one = served("kafka-exporter")
    one.update(seen(group_report()))
    names = {name for name, _ in metrics_of(one)}
    assert "kafka_consumergroup_lag" in names
    assert not [name for name in names if name.startswith(("kafka_consumergroup_group", "burrow"))]


@pytest.mark.parametrize(
    ("fields", "query", "wanted"),
    [
        ({}, "", 2),  # 2 members finish 50 a second each, 100 come, 20 wait: nearly enough
        ({"total_lag": 6000}, "", 4),
        ({"total_lag": 6000}, "catch_up_s=120", 3),
        ({"total_lag": 6000}, "catch_up_s=nonsense", 4),
        ({"total_lag": 6000, "members": 0}, "", 1),
        ({"total_lag": 6000, "written_per_s": 0.0}, "", 2),  # the rate is not known: all stays
        ({"total_lag": 0, "written_per_s": 0.0}, "", 2),
        ({"total_lag": 0, "members": 0}, "", 0),
    ],
)
def test_the_workers_that_a_backlog_needs(fields: dict[str, Any], query: str, wanted: int) -> None:
    report = group_report(**{"total_lag": 0, **fields})
    assert scale_json(report, query)["wanted_workers"] == wanted


def test_the_share_of_the_retention_that_is_over(found: Samples) -> None:
    labels = {"cluster": "east", "group": "g", "topic": "frames.raw"}
    assert value(found, "sightline_lag_retention_share", **labels) == 0.25


def test_values_of_a_cluster_that_is_slow_are_fresh_for_longer_than_the_interval() -> None:
    one = Served("east", BurrowStore(), [], (), interval_s=0.01)
    one.update(seen(group_report()))  # a look that took 0.25 s
    time.sleep(0.1)
    assert one.ready() is None


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_fault_with_names_that_published_dashboards_ask_for_and_no_others() -> None:
    one = served()
    one.update(seen(group_report(partitions=[partition_report(0, 20, start=10, lost=5, retention_s=12.0)])))
    page = one.answer("GET", "/metrics")
    assert page is not None
    found = subprocess.run(["promtool", "check", "metrics"], input=page.body, capture_output=True, check=False)
    assert {line.split()[0] for line in (found.stdout + found.stderr).decode().splitlines()} == {
        "kafka_consumergroup_poll_time_ms",
        "kafka_consumergroup_current_offset_sum",
        "kafka_consumergroup_lag_sum",
    }
