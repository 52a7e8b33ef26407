"""Commits of the stream stage that fail are counted, by the kind of the reason."""

from typing import Any

import pytest
from aiokafka.errors import CommitFailedError, GroupAuthorizationFailedError, RequestTimedOutError, UnknownError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from prometheus_client import REGISTRY

from streams.source.consumer import commit_with_ids


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CommitFailedError(), "out_of_group"),
        (GroupAuthorizationFailedError(), "forbidden"),
        (RequestTimedOutError(), "passing"),
        (UnknownError(), "other"),
    ],
)
async def test_a_commit_that_fails_is_counted_and_still_fails(error: Exception, reason: str) -> None:
    def failures() -> float:
        labels = {"stage": "stream", "reason": reason}
        return REGISTRY.get_sample_value("sightline_commit_failures_total", labels) or 0.0

    async def commit(_offsets: Any) -> None:
        raise error

    before = failures()
    with pytest.raises(type(error)):
        await commit_with_ids(commit, {}, {TopicPartition("frames.raw", 0): OffsetAndMetadata(1, "")})
    assert failures() - before == 1
