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
from redis.exceptions import TimeoutError as RedisTimeoutError

from infra.redis.client import fault_text
from infra.redis.route import (
    CLUSTER,
    MAX_NODES,
    SINGLE,
    Route,
    SeveralPrimaries,
    may_be_sentinel,
    next_route,
    with_nodes,
)


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


def test_the_nodes_of_a_cluster_lead_back_to_it_when_the_configured_one_does_not_answer() -> None:
    nodes = (("b", 2), ("c", 3))
    known = with_nodes(CLUSTER, nodes)
    single = next_route(known, RedisClusterException("Redis Cluster cannot be connected"))
    assert single == SINGLE and single.nodes == nodes
    for fault in (ConnectionError(), OSError(), TimeoutError(), RedisTimeoutError()):
        assert next_route(single, fault) == CLUSTER and next_route(single, fault).nodes == nodes
        assert next_route(SINGLE, fault) == SINGLE
    assert next_route(single, ResponseError("OOM")) == SINGLE
    assert with_nodes(known, []).nodes == nodes
    assert len(with_nodes(SINGLE, ((str(port), port) for port in range(1000))).nodes) == MAX_NODES


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (
            ReadOnlyError("Command # 1 (SET key \x01) of pipeline caused error: not a primary"),
            "ReadOnlyError: not a primary",
        ),
        (
            ConnectionError("No master found for 'a' : <redis.client.Redis(...)>"),
            "ConnectionError: No master found for 'a'",
        ),
        (
            ResponseError("unknown command 'MGET', with args beginning with: 'key' "),
            "ResponseError: unknown command 'MGET'",
        ),
        (TimeoutError(), "TimeoutError: no answer in time"),
    ],
)
def test_the_text_of_a_fault_is_its_reason(fault: Exception, text: str) -> None:
    assert fault_text(fault) == text


def test_a_sentinel_is_known_by_its_role() -> None:
    unknown = ResponseError("unknown command 'MGET', with args beginning with:")
    assert may_be_sentinel(SINGLE, unknown)
    assert not may_be_sentinel(SINGLE, ResponseError("OOM command not allowed"))
    assert next_route(SINGLE, unknown, [b"sentinel", [b"mymaster"]]) == Route("sentinel", "mymaster")
    for other in ([b"master", 0, []], [b"slave", b"host", 1, b"connected", 0], b"OK", None):
        assert next_route(SINGLE, unknown, other) == SINGLE
    with pytest.raises(SeveralPrimaries, match=r"watches a, b: set redis\.url to the server that is meant"):
        next_route(SINGLE, unknown, [b"sentinel", [b"a", b"b"]])
