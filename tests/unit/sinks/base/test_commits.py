"""Commits of a sink that fail are counted, by the kind of the reason."""

from collections.abc import Mapping
from typing import Any, cast

from prometheus_client import REGISTRY

from infra.kafka.consumer import CommitReport
from infra.kafka.errors import FaultKind, KafkaFailure, KafkaFault
from infra.kafka.groups import GroupProgress
from infra.process.lifecycle import Deadline
from schemas.coordinates import TopicPartition
from sinks.base.commits import Commits

P0 = TopicPartition("labels", 0)
FORBIDDEN = KafkaFault(FaultKind.FORBIDDEN, "GROUP_AUTHORIZATION_FAILED", "not allowed")


class Refusing:
    """A member whose commits fail at once, and at the end without an answer."""

    def commit_soon(self, offsets: Mapping[TopicPartition, int]) -> None:
        raise KafkaFailure(FORBIDDEN)

    def commit_within(self, offsets: Mapping[TopicPartition, int], deadline: Deadline) -> str | None:
        return "no answer in time"


def failures(reason: str) -> float:
    labels = {"stage": "sink-test", "reason": reason}
    return REGISTRY.get_sample_value("sightline_commit_failures_total", labels) or 0.0


def test_each_commit_that_fails_is_counted() -> None:
    commits = Commits(cast(Any, Refusing()), GroupProgress[None](), "sink-test")
    commits.tick(0.0)
    assert failures("forbidden") == 0, "there is nothing to commit"
    commits.start_at(P0, 5)
    commits.tick(1.0)
    commits.on_report(CommitReport({}, KafkaFault(FaultKind.PASSING, "_TRANSPORT", "no broker")))
    commits.finish(Deadline(0))
    assert {reason: failures(reason) for reason in ("forbidden", "passing", "unconfirmed")} == {
        "forbidden": 1, "passing": 1, "unconfirmed": 1,
    }  # fmt: skip
    commits.on_report(CommitReport({P0: 5}))
    commits.finish(Deadline(0))
    assert failures("unconfirmed") == 1, "all is committed"
