"""The metrics of Burrow, and those of ours that no other exporter has. Pure."""

from collections.abc import Iterable, Iterator

from prometheus_client import Metric

from infra.lag.serve.exporter import Seen, by_topic, gauge


def burrow_metrics(seen: Seen) -> Iterator[Metric]:
    """Burrow's names and labels; a partition has a state once its commits are known in full."""
    verdicts = [(group, seen.store.judge(group, seen.look.wall_ms)) for group in seen.store.groups()]
    known = [(group, verdict) for group, verdict in verdicts if verdict is not None]
    per_group = ("cluster", "consumer_group")
    place = (*per_group, "topic", "partition")
    parts = [
        ((seen.cluster, group, one.partition.topic, str(one.partition.partition)), one)
        for group, verdict in known
        for one in verdict.partitions
    ]
    yield gauge(
        "burrow_kafka_consumer_lag_total", "records that wait, all partitions", per_group,
        (((seen.cluster, group), verdict.total_lag) for group, verdict in known),
    )  # fmt: skip
    yield gauge(
        "burrow_kafka_consumer_status", "state of the group: 1 OK, 2 WARN, 3 ERR", per_group,
        (((seen.cluster, group), int(verdict.status)) for group, verdict in known),
    )  # fmt: skip
    yield gauge(
        "burrow_kafka_consumer_partition_lag", "records that wait", place,
        ((labels, one.current_lag) for labels, one in parts),
    )  # fmt: skip
    yield gauge(
        "burrow_kafka_consumer_current_offset", "last committed offset", place,
        ((labels, one.end.offset) for labels, one in parts if one.complete == 1.0 and one.end is not None),
    )  # fmt: skip
    yield gauge(
        "burrow_kafka_topic_partition_status", "state: 1 OK, 2 WARN, 4 STOP, 5 STALL, 6 REWIND", place,
        ((labels, int(one.status)) for labels, one in parts if one.complete == 1.0),
    )  # fmt: skip
    yield gauge(
        "burrow_kafka_topic_partition_offset", "end of the log", ("cluster", "topic", "partition"),
        (((seen.cluster, topic, str(number)), offset)
         for topic in seen.store.topics() for number, offset in enumerate(seen.store.topic(topic) or ())),
    )  # fmt: skip


def our_metrics(seen: Seen) -> Iterator[Metric]:
    """The state by our own evaluator, the time until a group has caught up, and what was never committed."""
    labels = ("cluster", "group")
    yield gauge(
        "sightline_lag_status", "state of the group: 0 NOTFOUND, 1 OK, 2 WARN, 3 ERR", labels,
        (((seen.cluster, one.group), int(one.status)) for one in seen.reports),
    )  # fmt: skip
    yield gauge(
        "sightline_lag_partition_status", "state: 0 NOTFOUND, 1 OK, 2 WARN, 3 ERR, 4 STOP, 5 STALL, 6 REWIND",
        (*labels, "topic", "partition"),
        (((seen.cluster, one.group, part.partition.topic, str(part.partition.partition)), int(part.status))
         for one in seen.reports for part in one.partitions),
    )  # fmt: skip
    yield gauge(
        "sightline_lag_eta_seconds", "time until the group has caught up, while its lag falls", labels,
        (((seen.cluster, one.group), one.eta_s) for one in seen.reports),
    )  # fmt: skip
    yield gauge(
        "sightline_lag_retention_share", "part of the retention that the oldest unread record has lived",
        (*labels, "topic"),
        (((seen.cluster, one.group, topic), _highest(part.retention_share for part in parts))
         for one in seen.reports for topic, parts in by_topic(one)),
    )  # fmt: skip
    yield gauge(
        "sightline_lag_never_committed", "partitions that hold records and that the group never committed", labels,
        (((seen.cluster, one.group), count) for one in seen.reports
         if (count := sum(part.committed is None and part.current_lag > 0 for part in one.partitions))),
    )  # fmt: skip
    yield gauge(
        "sightline_lag_look_timestamp_seconds", "time of the last look", ("cluster",),
        [((seen.cluster,), seen.look.wall_ms / 1000)],
    )  # fmt: skip
    if (found := seen.bottleneck) is not None:
        yield gauge(
            "sightline_bottleneck", "1 for the part that holds the pipeline back, and why",
            ("cluster", "stage", "reason"), [((seen.cluster, found.stage, found.reason), 1)],
        )  # fmt: skip
        yield gauge(
            "sightline_pipeline_waiting_frames", "frames that wait before the bottleneck", ("cluster",),
            [((seen.cluster,), found.waiting_frames)],
        )  # fmt: skip
        yield gauge(
            "sightline_pipeline_eta_seconds", "time until the pipeline has caught up, while it does", ("cluster",),
            [((seen.cluster,), found.eta_s)],
        )  # fmt: skip


def _highest(values: Iterable[float | None]) -> float | None:
    return max((one for one in values if one is not None), default=None)
