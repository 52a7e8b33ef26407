"""Burrow's HTTP API: each path, field for field."""

import pytest

from infra.lag.rules.burrow_store import EXPIRE_GROUP_S, BurrowStore
from infra.lag.serve.burrow_api import BurrowApi
from schemas.coordinates import TopicPartition

NOW_MS = 1_790_000_000_000
FIRST, SECOND = TopicPartition("frames.raw", 0), TopicPartition("frames.raw", 1)


@pytest.fixture
def store() -> BurrowStore:
    """A group that commits partition 0 of 2 and falls behind."""
    made = BurrowStore(intervals=3)
    for n in range(3):
        made.add_end(FIRST, 100 + 50 * n, 2)
        made.add_end(SECOND, 7, 2)
        made.add_commit("g", FIRST, 90 + 10 * n, n, NOW_MS - 20_000 + 10_000 * n, NOW_MS)
    made.set_owners("g", {FIRST: ("/10.0.0.7", "stream")})
    return made


@pytest.fixture
def api(store: BurrowStore) -> BurrowApi:
    return BurrowApi("east", store, ["10.0.0.1:9092"])


def commit(offset: int, before_s: int, lag: int) -> dict[str, int]:
    return {"offset": offset, "timestamp": NOW_MS - before_s * 1000, "observedAt": NOW_MS, "lag": lag}


def body_of(api: BurrowApi, path: str, code: int = 200) -> dict[str, object]:
    answer = api.get(path, NOW_MS)
    assert answer is not None
    assert answer.code == code
    assert isinstance(answer.body, dict)
    request = answer.body.pop("request")
    assert request["url"] == path
    assert set(request) == {"url", "host"}
    return answer.body


def test_lag_shows_every_partition_of_the_topic_and_status_only_the_bad_ones(api: BurrowApi) -> None:
    behind = {
        "topic": "frames.raw",
        "partition": 0,
        "owner": "/10.0.0.7",
        "client_id": "stream",
        "status": "WARN",
        "start": commit(90, 20, 10),
        "end": commit(110, 0, 90),
        "current_lag": 90,
        "complete": 1,
    }
    never = {
        "topic": "frames.raw",
        "partition": 1,
        "owner": "",
        "client_id": "",
        "status": "OK",
        "start": None,
        "end": None,
        "current_lag": 0,
        "complete": 0,
    }
    whole = {
        "cluster": "east",
        "group": "g",
        "status": "WARN",
        "complete": 0.5,
        "partitions": [behind, never],
        "partition_count": 2,
        "maxlag": behind,
        "totallag": 90,
    }
    told = {"error": False, "message": "consumer status returned"}
    assert body_of(api, "/v3/kafka/east/consumer/g/lag") == {**told, "status": whole}
    assert body_of(api, "/v3/kafka/east/consumer/g/status") == {**told, "status": {**whole, "partitions": [behind]}}


def test_the_detail_of_a_group_has_its_commits_and_empty_places(api: BurrowApi, store: BurrowStore) -> None:
    store.add_commit("new", FIRST, 150, 9, NOW_MS, NOW_MS)
    assert body_of(api, "/v3/kafka/east/consumer/new") == {
        "error": False,
        "message": "consumer detail returned",
        "topics": {
            "frames.raw": [
                {"offsets": [None, None, commit(150, 0, 50)], "owner": "", "client_id": "", "current-lag": 50},
                {"offsets": [], "owner": "", "client_id": "", "current-lag": 0},
            ]
        },
    }


def test_a_partition_that_is_read_and_never_committed_has_empty_places(api: BurrowApi, store: BurrowStore) -> None:
    """Burrow makes them when it is told an owner, and counts one of them as known."""
    store.set_owners("g", {SECOND: ("/10.0.0.8", "other")})
    answer = body_of(api, "/v3/kafka/east/consumer/g")["topics"]
    assert isinstance(answer, dict)
    never = {"offsets": [None, None, None], "owner": "/10.0.0.8", "client_id": "other", "current-lag": 0}
    assert answer["frames.raw"][1] == never
    status = body_of(api, "/v3/kafka/east/consumer/g/lag")["status"]
    assert isinstance(status, dict)
    found = status["partitions"][1]
    assert (found["start"], found["end"], found["complete"]) == (None, None, 0.3333333)


@pytest.mark.parametrize(
    ("path", "message", "field", "value"),
    [
        ("/v3/kafka", "cluster list returned", "clusters", ["east"]),
        ("/v3/kafka/east/topic", "topic list returned", "topics", ["frames.raw"]),
        ("/v3/kafka/east/topic/frames.raw", "topic offsets returned", "offsets", [200, 7]),
        ("/v3/kafka/east/topic/frames.raw/consumers", "consumers of topic returned", "consumers", ["g"]),
        ("/v3/kafka/east/topic/nope/consumers", "consumers of topic returned", "consumers", []),
        ("/v3/kafka/east/consumer", "consumer list returned", "consumers", ["g"]),
    ],
)
def test_lists(api: BurrowApi, path: str, message: str, field: str, value: object) -> None:
    assert body_of(api, path) == {"error": False, "message": message, field: value}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v3/kafka/west", "cluster module not found"),
        ("/v3/kafka/west/topic", "cluster not found"),
        ("/v3/kafka/west/consumer", "cluster not found"),
        ("/v3/kafka/west/topic/frames.raw/consumers", "cluster not found"),
        ("/v3/kafka/east/topic/nope", "cluster or topic not found"),
        ("/v3/kafka/east/consumer/nope", "cluster or consumer not found"),
        ("/v3/kafka/west/consumer/g", "cluster or consumer not found"),
    ],
)
def test_what_is_not_there_is_a_404(api: BurrowApi, path: str, message: str) -> None:
    assert body_of(api, path, 404) == {"error": True, "message": message}


@pytest.mark.parametrize("cluster", ["east", "west"])
def test_a_group_that_is_not_there_has_the_state_notfound(api: BurrowApi, cluster: str) -> None:
    assert body_of(api, f"/v3/kafka/{cluster}/consumer/nope/lag", 404) == {
        "error": False,
        "message": "consumer status returned",
        "status": {
            "cluster": cluster,
            "group": "nope",
            "status": "NOTFOUND",
            "complete": 1,
            "partitions": [],
            "partition_count": 0,
            "maxlag": None,
            "totallag": 0,
        },
    }


def test_health_and_paths_that_are_not_burrows(api: BurrowApi) -> None:
    admin, ready = api.get("/burrow/admin", 0), api.get("/burrow/admin/ready", 0, is_ready=False)
    assert admin is not None
    assert ready is not None
    assert (admin.code, admin.body, ready.code, ready.body) == (200, "GOOD", 503, "STARTING")
    assert api.get("/metrics", 0) is None
    unknown = api.get("/v3/kafka/east/other", 0)
    assert unknown is not None
    assert (unknown.code, "invalid request type" in str(unknown.body)) == (404, True)


@pytest.mark.parametrize(
    ("method", "target", "code", "headers"),
    [
        ("GET", "/v3/kafka/", 301, {"Location": "/v3/kafka"}),
        ("GET", "/v3/kafka/?x=1", 301, {"Location": "/v3/kafka?x=1"}),
        ("GET", "/v3/kafka/east/topic/", 301, {"Location": "/v3/kafka/east/topic"}),
        ("GET", "/v3/kafka/east/consumer/g/lag/", 301, {"Location": "/v3/kafka/east/consumer/g/lag"}),
        ("DELETE", "/v3/kafka/east/consumer/g/", 307, {"Location": "/v3/kafka/east/consumer/g"}),
        ("POST", "/v3/kafka", 405, {"Allow": "GET, OPTIONS"}),
        ("HEAD", "/v3/kafka", 405, {"Allow": "GET, OPTIONS"}),
        ("PUT", "/v3/kafka/east/consumer/g", 405, {"Allow": "DELETE, GET, OPTIONS"}),
        ("DELETE", "/v3/kafka", 405, {"Allow": "GET, OPTIONS"}),
        ("GET", "/v3/kafka/east/consumer/g/topic/frames.raw", 405, {"Allow": "DELETE, OPTIONS"}),
        ("OPTIONS", "/v3/kafka", 200, {"Allow": "GET, OPTIONS"}),
        ("POST", "/v3/nothing", 404, {}),
        ("GET", "/v3/kafka/east/consumer/g/other", 404, {}),
        ("GET", "/v3/kafka?x=1", 200, {}),
    ],
)
def test_the_router_answers_as_burrows(
    api: BurrowApi, method: str, target: str, code: int, headers: dict[str, str]
) -> None:
    """As Burrow 1.9.5 itself answered these requests."""
    answer = api.answer(method, target, NOW_MS)
    assert answer is not None
    assert (answer.code, answer.headers) == (code, headers)


def test_a_group_can_be_removed_and_a_topic_of_it(api: BurrowApi, store: BurrowStore) -> None:
    store.add_end(TopicPartition("other", 0), 5, 1)
    store.add_commit("g", TopicPartition("other", 0), 5, 9, NOW_MS, NOW_MS)
    assert api.delete("/v3/kafka/east/consumer/g/topic/other") is not None
    assert store.groups_of("other") == []
    assert store.groups() == ["g"]
    answer = api.delete("/v3/kafka/east/consumer/g")
    assert answer is not None
    assert isinstance(answer.body, dict)
    assert answer.body["message"] == "consumer group removed"
    assert store.groups() == []
    assert api.delete("/v3/kafka/east/topic/frames.raw") is None


def test_a_group_that_is_silent_for_a_week_is_forgotten(store: BurrowStore) -> None:
    assert store.group("g", NOW_MS + EXPIRE_GROUP_S * 1000) is not None
    assert store.group("g", NOW_MS + EXPIRE_GROUP_S * 1000 + 1) is None
    assert store.groups() == []


def test_a_commit_before_the_first_look_at_its_topic_is_dropped(store: BurrowStore) -> None:
    store.add_commit("early", TopicPartition("unseen", 0), 5, 1, NOW_MS, NOW_MS)
    store.add_commit("old", FIRST, 5, 1, NOW_MS - EXPIRE_GROUP_S * 1000 - 1, NOW_MS)
    assert store.groups() == ["g"]


def test_partitions_that_are_added_and_topics_that_go(store: BurrowStore) -> None:
    third = TopicPartition("frames.raw", 2)
    store.add_end(third, 3, 3)
    store.add_commit("g", third, 1, 8, NOW_MS, NOW_MS)
    views = store.group("g", NOW_MS)
    assert views is not None
    assert views[third].current_lag == 2
    store.delete_topic("frames.raw")
    assert store.group("g", NOW_MS) == {}
    verdict = store.judge("g", NOW_MS)
    assert verdict is not None
    assert (str(verdict.status), verdict.complete) == ("OK", 0.0)
