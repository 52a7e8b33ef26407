"""The series of a member's own partitions: those it owns, and no others."""

from prometheus_client import REGISTRY

from infra.kafka.groups import GroupProgress
from infra.kafka.own_partitions import OwnPartitions
from schemas.coordinates import TopicPartition

TOPIC = "frames.raw"
P0, P1 = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)


def series(name: str, group: str) -> dict[str, float]:
    samples = [one for family in REGISTRY.collect() if family.name == name for one in family.samples]
    return {one.labels["partition"]: one.value for one in samples if one.labels["group"] == group}


def test_what_was_revoked_or_is_not_known_has_no_series() -> None:
    shown = OwnPartitions("lags", TOPIC)
    shown.show_lags({0: 7, 1: 0})
    assert series("sightline_consumer_lag_records", "lags") == {"0": 7, "1": 0}
    shown.show_lags({1: 4, 2: 1})
    assert series("sightline_consumer_lag_records", "lags") == {"1": 4, "2": 1}
    shown.show_lags({})
    assert series("sightline_consumer_lag_records", "lags") == {}


def test_the_time_is_that_of_the_newest_finished_frame_and_ends_with_the_partition() -> None:
    shown, progress = OwnPartitions("times", TOPIC), GroupProgress[None]()

    def now() -> dict[str, float]:
        shown.show_newest(progress.newest_ms())
        return series("sightline_settled_frame_timestamp_seconds", "times")

    progress.assign([P0, P1])
    tickets = [progress.start(P0, offset, None) for offset in range(4)]
    assert all(tickets) and now() == {}, "nothing is finished yet"
    for ticket, captured_ms in zip(tickets, (5_000, None, 9_500, 2_000), strict=True):
        assert ticket is not None
        progress.finish(ticket, captured_ms)
    assert now() == {"0": 9.5}
    progress.revoke([P0])
    assert now() == {}
    late = progress.start(P1, 0, None)
    progress.revoke([P1])
    assert late is not None and not progress.finish(late, 9_000)
    assert now() == {}, "a frame that is finished late is the next owner's"
