"""The reports as Prometheus metrics, under the names that published dashboards and rules use. Pure.

Two families: that of seglo's kafka-lag-exporter, with what klag-exporter adds to it, and that of danielqsj's
kafka_exporter; beside them Burrow's own and ours. A value that is not known is left out: never -1, never NaN. The
metrics are made anew from each look, so a member that has left and a topic that is gone leave no series behind.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from infra.lag.look import ClusterLook
from infra.lag.reports import GroupReport, PartitionReport
from infra.lag.rules.bottleneck import Bottleneck
from infra.lag.rules.burrow_store import BurrowStore
from infra.lag.rules.status import LagStatus

# klag-exporter's numbers of the states of a group.
STATES = ("unknown", "preparingrebalance", "completingrebalance", "stable", "dead", "empty", "assigning", "reconciling")
MEMBER_LABELS = ("cluster_name", "group", "topic", "partition", "member_host", "consumer_id", "client_id")


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look gave: the look, its reports, what Burrow would say, how long the look took, and the bottleneck."""

    cluster: str
    look: ClusterLook
    reports: Sequence[GroupReport]
    store: BurrowStore
    took_s: float
    bottleneck: Bottleneck | None = None


Row = tuple[Sequence[str], float | None]


def gauge(name: str, text: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    """A gauge with a series for each row whose value is known."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in rows:
        if value is not None:
            family.add_metric(values, value)
    return family


def lag_exporter(seen: Seen) -> Iterator[Metric]:
    """kafka-lag-exporter's names and labels, and klag-exporter's additions."""
    cluster, judged = seen.cluster, [one for one in seen.reports if one.status is not LagStatus.NOTFOUND]
    known = [(one, part) for one in judged for part in one.partitions if part.end is not None]
    committed = [(one, part) for one, part in known if part.committed is not None]

    def row(report: GroupReport, part: PartitionReport, value: float | None) -> Row:
        place = part.partition
        member = (part.host, part.member_id, part.client_id)
        return (cluster, report.group, place.topic, str(place.partition), *member), value

    prefix = "kafka_consumergroup_group"
    yield gauge(
        f"{prefix}_offset", "last committed offset", MEMBER_LABELS, (row(a, p, p.committed) for a, p in committed)
    )
    yield gauge(f"{prefix}_lag", "records that wait", MEMBER_LABELS, (row(a, p, p.current_lag) for a, p in committed))
    yield gauge(
        f"{prefix}_lag_seconds", "age of the oldest unread record", MEMBER_LABELS,
        (row(a, p, p.lag_s if p.current_lag else 0.0) for a, p in committed),
    )  # fmt: skip
    yield gauge(
        f"{prefix}_messages_lost", "records that retention removed unread", MEMBER_LABELS,
        (row(a, p, p.lost) for a, p in committed),
    )  # fmt: skip
    yield gauge(
        f"{prefix}_retention_margin", "records between the log's start and the committed offset", MEMBER_LABELS,
        (row(a, p, (p.committed or 0) - (p.start or 0)) for a, p in committed),
    )  # fmt: skip
    yield gauge(
        f"{prefix}_lag_retention_ratio", "records that wait, of 100 that the log holds", MEMBER_LABELS,
        (row(a, p, _ratio(p)) for a, p in committed),
    )  # fmt: skip
    group = ("cluster_name", "group")
    yield gauge(
        f"{prefix}_max_lag", "most records that wait on a partition", group,
        (((cluster, one.group), _max(part.current_lag for part in one.partitions)) for one in judged),
    )  # fmt: skip
    yield gauge(
        f"{prefix}_max_lag_seconds", "age of the oldest unread record", group,
        (((cluster, one.group), one.lag_s if one.total_lag else 0.0) for one in judged if one.partitions),
    )  # fmt: skip
    yield gauge(
        f"{prefix}_sum_lag", "records that wait", group,
        (((cluster, one.group), one.total_lag) for one in judged if one.partitions),
    )  # fmt: skip
    yield gauge(
        f"{prefix}_topic_sum_lag", "records that wait on a topic", ("cluster_name", "group", "topic"),
        (((cluster, one.group, topic), sum(part.current_lag for part in parts))
         for one in judged for topic, parts in by_topic(one)),
    )  # fmt: skip
    yield gauge(
        f"{prefix}_state", f"state of the group: {', '.join(f'{n} {name}' for n, name in enumerate(STATES))}", group,
        (((cluster, one.group), _state(one.state)) for one in seen.reports if one.state),
    )  # fmt: skip
    ends = sorted(seen.look.ends.items())
    place = ("cluster_name", "topic", "partition")
    yield gauge(
        "kafka_partition_latest_offset", "end of the log", place,
        (((cluster, one.topic, str(one.partition)), log.end) for one, log in ends),
    )  # fmt: skip
    yield gauge(
        "kafka_partition_earliest_offset", "start of the log", place,
        (((cluster, one.topic, str(one.partition)), log.start) for one, log in ends),
    )  # fmt: skip
    yield gauge(
        "kafka_consumergroup_poll_time_ms", "time that the last look took", ("cluster_name",),
        [((cluster,), seen.took_s * 1000)],
    )  # fmt: skip


def kafka_exporter(seen: Seen) -> Iterator[Metric]:
    """The names and labels of danielqsj's kafka_exporter."""
    committed = [
        (one.group, part.partition.topic, str(part.partition.partition), part)
        for one in seen.reports
        for part in one.partitions
        if part.committed is not None and part.end is not None
    ]
    place = ("consumergroup", "topic", "partition")
    yield gauge(
        "kafka_consumergroup_current_offset", "last committed offset", place,
        (((group, topic, number), part.committed) for group, topic, number, part in committed),
    )  # fmt: skip
    yield gauge(
        "kafka_consumergroup_lag", "records that wait", place,
        (((group, topic, number), part.current_lag) for group, topic, number, part in committed),
    )  # fmt: skip
    sums = [
        (one.group, topic, [part for part in parts if part.committed is not None])
        for one in seen.reports
        for topic, parts in by_topic(one)
    ]
    per_topic = ("consumergroup", "topic")
    yield gauge(
        "kafka_consumergroup_current_offset_sum", "last committed offsets, all partitions", per_topic,
        (((group, topic), sum(part.committed or 0 for part in parts)) for group, topic, parts in sums if parts),
    )  # fmt: skip
    yield gauge(
        "kafka_consumergroup_lag_sum", "records that wait, all partitions", per_topic,
        (((group, topic), sum(part.current_lag for part in parts)) for group, topic, parts in sums if parts),
    )  # fmt: skip
    yield gauge(
        "kafka_consumergroup_members", "members of the group", ("consumergroup",),
        (((one.group,), one.members) for one in seen.reports if one.state),
    )  # fmt: skip
    yield from _kafka_exporter_topics(seen)


def _kafka_exporter_topics(seen: Seen) -> Iterator[Metric]:
    topics, brokers = seen.look.topics.topics, seen.look.topics.brokers
    places = [(name, str(number), place) for name, parts in sorted(topics.items()) for number, place in parts.items()]
    labels = ("topic", "partition")
    yield gauge("kafka_brokers", "brokers of the cluster", (), [((), len(brokers))])
    yield gauge(
        "kafka_broker_info", "a broker and its address", ("id", "address"),
        (((str(number), address), 1) for number, address in sorted(brokers.items())),
    )  # fmt: skip
    yield gauge(
        "kafka_topic_partitions", "partitions of the topic", ("topic",),
        (((name,), len(parts)) for name, parts in sorted(topics.items())),
    )  # fmt: skip
    for name, text, value in (
        ("leader", "broker that leads the partition", lambda one: one.leader if one.leader >= 0 else None),
        ("replicas", "replicas of the partition", lambda one: len(one.replicas)),
        ("in_sync_replica", "replicas that are in sync", lambda one: len(one.in_sync)),
        ("under_replicated_partition", "1 where a replica is not in sync",
         lambda one: int(len(one.in_sync) < len(one.replicas))),
        ("leader_is_preferred", "1 where the preferred replica leads",
         lambda one: int(bool(one.replicas) and one.leader == one.replicas[0])),
    ):  # fmt: skip
        rows = (((topic, number), value(place)) for topic, number, place in places)
        yield gauge(f"kafka_topic_partition_{name}", text, labels, rows)
    ends = sorted(seen.look.ends.items())
    yield gauge(
        "kafka_topic_partition_current_offset", "end of the log", labels,
        (((one.topic, str(one.partition)), log.end) for one, log in ends),
    )  # fmt: skip
    yield gauge(
        "kafka_topic_partition_oldest_offset", "start of the log", labels,
        (((one.topic, str(one.partition)), log.start) for one, log in ends),
    )  # fmt: skip


def by_topic(report: GroupReport) -> Iterator[tuple[str, list[PartitionReport]]]:
    """The partitions of a group that can be looked at, topic by topic."""
    there = sorted((part for part in report.partitions if part.end is not None), key=lambda part: part.partition)
    for topic, parts in groupby(there, key=lambda part: part.partition.topic):
        yield topic, list(parts)


def _ratio(part: PartitionReport) -> float | None:
    """Above 100 when records are lost; None for a log that holds nothing."""
    held = (part.end or 0) - (part.start or 0)
    return 100 * (part.current_lag + part.lost) / held if held else None


def _state(state: str) -> int:
    name = state.lower().replace("_", "")
    return STATES.index(name) if name in STATES else 0


def _max(values: Iterable[int]) -> int | None:
    return max(values, default=None)
