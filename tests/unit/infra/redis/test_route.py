"""What a server's answers tell of the way to its data."""

import pytest
from redis.exceptions import (
    AskError,
    ClusterCrossSlotError,
    ClusterDownError,
    ConnectionError,
    MovedError,
    ReadOnlyError,
    RedisClusterException,
    ResponseError,
)

from infra.redis.route import CLUSTER, SINGLE, Route, SeveralPrimaries, may_be_sentinel, next_route


@pytest.mark.parametrize(
    "fault",
    [
        MovedError("3999 127.0.0.1:6381"),
        AskError("3999 127.0.0.1:6381"),
        ClusterCrossSlotError("Keys in request don't hash to the same slot"),
        ClusterDownError("Hash slot not served"),
    ],
)
def test_what_only_a_cluster_says_leads_to_the_cluster(fault: Exception) -> None:
    assert next_route(SINGLE, fault) == CLUSTER
    assert next_route(CLUSTER, fault) == CLUSTER


@pytest.mark.parametrize("fault", [ReadOnlyError(), ConnectionError(), ResponseError("OOM"), TimeoutError(), OSError()])
def test_other_faults_say_nothing_of_the_route(fault: Exception) -> None:
    for route in (SINGLE, CLUSTER, Route("sentinel", "mymaster")):
        assert next_route(route, fault) == route


def test_a_cluster_that_is_none_any_more_is_one_server() -> None:
    assert next_route(CLUSTER, RedisClusterException("Cluster mode is not enabled on this node")) == SINGLE


def test_a_sentinel_is_known_by_its_role() -> None:
    unknown = ResponseError("unknown command 'MGET', with args beginning with:")
    assert may_be_sentinel(SINGLE, unknown)
    assert not may_be_sentinel(SINGLE, ResponseError("OOM command not allowed"))
    assert next_route(SINGLE, unknown, [b"sentinel", [b"mymaster"]]) == Route("sentinel", "mymaster")
    for other in ([b"master", 0, []], [b"slave", b"host", 1, b"connected", 0], b"OK", None):
        assert next_route(SINGLE, unknown, other) == SINGLE
    with pytest.raises(SeveralPrimaries, match=r"watches a, b: set redis\.url to the server that is meant"):
        next_route(SINGLE, unknown, [b"sentinel", [b"a", b"b"]])
