"""Burrow's HTTP API, field for field (linkedin/Burrow 1.9.5, core/internal/httpserver). Pure.

Programs that ask Burrow can ask here. What is about Burrow's own configuration is not answered.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import unquote

from infra.lag.rules.burrow import Commit, GroupVerdict, PartitionVerdict, PartitionView
from infra.lag.rules.burrow_store import BurrowStore
from infra.lag.rules.status import LagStatus
from schemas.coordinates import TopicPartition


@dataclass(frozen=True, slots=True)
class BurrowAnswer:
    """The status code, and the body: an object for JSON, or a text."""

    code: int
    body: dict[str, Any] | str
    headers: dict[str, str] = field(default_factory=dict)


# The paths that its router knows, each segment by name or by any text, and their methods.
_GROUP = ("v3", "kafka", "*", "consumer", "*")
ROUTES: dict[tuple[str, ...], str] = {
    ("burrow", "admin"): "GET",
    ("burrow", "admin", "ready"): "GET",
    ("v3", "kafka"): "GET",
    ("v3", "kafka", "*"): "GET",
    ("v3", "kafka", "*", "topic"): "GET",
    ("v3", "kafka", "*", "topic", "*"): "GET",
    ("v3", "kafka", "*", "topic", "*", "consumers"): "GET",
    ("v3", "kafka", "*", "consumer"): "GET",
    _GROUP: "DELETE, GET",
    (*_GROUP, "status"): "GET",
    (*_GROUP, "lag"): "GET",
    (*_GROUP, "topic", "*"): "DELETE",
}
INVALID = BurrowAnswer(404, '{"error":true,"message":"invalid request type","result":{}}\n')


def methods_of(path: str) -> str:
    """The methods that the path of a request allows, separated by commas; empty for one that is not Burrow's. Pure."""
    parts = path.removeprefix("/").split("/")
    if not path.startswith("/") or not all(parts):
        return ""
    fits = (
        methods
        for route, methods in ROUTES.items()
        if len(route) == len(parts) and all(name in ("*", part) for name, part in zip(route, parts, strict=True))
    )
    return next(fits, "")


class BurrowApi:
    """Answers from what is kept of one cluster. `refresh_s`: the time between two looks at it."""

    def __init__(self, cluster: str, store: BurrowStore, servers: Sequence[str] = (), refresh_s: float = 0) -> None:
        self._cluster, self._store, self._servers = cluster, store, list(servers)
        self._refresh_s = round(refresh_s)
        self._host = socket.gethostname()

    def answer(self, method: str, target: str, now_ms: int, *, is_ready: bool = True) -> BurrowAnswer | None:
        """The answer to a request, as Burrow's router has it; None for a path that is not Burrow's."""
        path, _, query = target.partition("?")
        if not path.startswith(("/v3/", "/burrow/")):
            return None
        allowed = methods_of(path)
        if method in allowed.split(", "):
            return self.get(path, now_ms, is_ready=is_ready) if method == "GET" else self.delete(path)
        if allowed:
            headers = {"Allow": f"{allowed}, OPTIONS"}
            return BurrowAnswer(*((200, "") if method == "OPTIONS" else (405, "Method Not Allowed\n")), headers)
        if path.endswith("/") and method in methods_of(path[:-1]).split(", "):
            location = path[:-1] + (f"?{query}" if query else "")
            text = f'<a href="{escape(location)}">Moved Permanently</a>.\n\n' if method == "GET" else ""
            return BurrowAnswer(301 if method == "GET" else 307, text, {"Location": location})
        return INVALID

    def get(self, path: str, now_ms: int, *, is_ready: bool = True) -> BurrowAnswer | None:
        """The answer for the path of a GET request; None for a path that is not Burrow's."""
        if path == "/burrow/admin":
            return BurrowAnswer(200, "GOOD")
        if path == "/burrow/admin/ready":
            return BurrowAnswer(200, "READY") if is_ready else BurrowAnswer(503, "STARTING")
        if not path.startswith("/v3/"):
            return None
        match [unquote(part) for part in path.removeprefix("/v3/").split("/")]:
            case ["kafka"]:
                return self._found(path, "cluster list returned", clusters=[self._cluster])
            case ["kafka", cluster]:
                return self._cluster_detail(path, cluster)
            case ["kafka", cluster, "topic", *rest]:
                return self._topics(path, cluster, rest)
            case ["kafka", cluster, "consumer", *rest]:
                return self._groups(path, cluster, rest, now_ms)
        return INVALID

    def delete(self, path: str) -> BurrowAnswer | None:
        """The answer for a DELETE request, which makes the store forget a group, or a topic of it."""
        match [unquote(part) for part in path.strip("/").split("/")]:
            case ["v3", "kafka", self._cluster, "consumer", group]:
                self._store.delete_group(group)
            case ["v3", "kafka", self._cluster, "consumer", group, "topic", topic]:
                self._store.delete_group(group, topic)
            case ["v3", "kafka", _, "consumer", _] | ["v3", "kafka", _, "consumer", _, "topic", _]:
                pass  # Burrow says the same of a cluster that it does not know
            case _:
                return None
        return self._found(path, "consumer group removed")

    def _cluster_detail(self, path: str, cluster: str) -> BurrowAnswer:
        if cluster != self._cluster:
            return self._missing(path, "cluster module not found")
        module = {
            "class-name": "kafka",
            "servers": self._servers,
            "client-profile": {
                "name": "",
                "client-id": "sightline-lag",
                "kafka-version": "",
                "tls": None,
                "sasl": None,
            },
            "topic-refresh": self._refresh_s,
            "offset-refresh": self._refresh_s,
        }
        return self._found(path, "cluster module detail returned", module=module)

    def _topics(self, path: str, cluster: str, rest: list[str]) -> BurrowAnswer:
        known = cluster == self._cluster
        match rest:
            case [topic]:
                offsets = self._store.topic(topic) if known else None
                if offsets is None:
                    return self._missing(path, "cluster or topic not found")
                return self._found(path, "topic offsets returned", offsets=offsets)
            case [] | [_, "consumers"] if not known:
                return self._missing(path, "cluster not found")
            case []:
                return self._found(path, "topic list returned", topics=self._store.topics())
            case [topic, "consumers"]:
                return self._found(path, "consumers of topic returned", consumers=self._store.groups_of(topic))
        return INVALID

    def _groups(self, path: str, cluster: str, rest: list[str], now_ms: int) -> BurrowAnswer:
        known = cluster == self._cluster
        match rest:
            case [] if known:
                return self._found(path, "consumer list returned", consumers=self._store.groups())
            case []:
                return self._missing(path, "cluster not found")
            case [group]:
                views = self._store.group(group, now_ms) if known else None
                if views is None:
                    return self._missing(path, "cluster or consumer not found")
                return self._found(path, "consumer detail returned", topics=_topics_json(views))
            case [group, ("status" | "lag") as what]:
                verdict = self._store.judge(group, now_ms) if known else None
                status = _group_json(cluster, group, verdict, show_all=what == "lag")
                code = 404 if verdict is None else 200
                return BurrowAnswer(code, self._envelope(path, "consumer status returned", status=status))
        return INVALID

    def _found(self, path: str, message: str, **fields: Any) -> BurrowAnswer:
        return BurrowAnswer(200, self._envelope(path, message, **fields))

    def _missing(self, path: str, message: str) -> BurrowAnswer:
        return BurrowAnswer(404, {**self._envelope(path, message), "error": True})

    def _envelope(self, path: str, message: str, **fields: Any) -> dict[str, Any]:
        return {"error": False, "message": message, **fields, "request": {"url": unquote(path), "host": self._host}}


def _topics_json(views: dict[TopicPartition, PartitionView]) -> dict[str, list[dict[str, Any]]]:
    topics: dict[str, list[dict[str, Any]]] = {}
    for partition, view in sorted(views.items()):
        # A ring that is not full has empty places before its commits.
        empty = [None] * (view.intervals - len(view.commits)) if view.has_places else []
        topics.setdefault(partition.topic, []).append(
            {
                "offsets": [*empty, *map(_commit_json, view.commits)],
                "owner": view.owner,
                "client_id": view.client_id,
                "current-lag": view.current_lag,
            }
        )
    return topics


def _group_json(cluster: str, group: str, verdict: GroupVerdict | None, *, show_all: bool) -> dict[str, Any]:
    if verdict is None:
        verdict = GroupVerdict(LagStatus.NOTFOUND, 1.0, [], None, 0)
    shown = [one for one in verdict.partitions if show_all or one.status > LagStatus.OK]
    return {
        "cluster": cluster,
        "group": group,
        "status": str(verdict.status),
        "complete": _number(verdict.complete),
        "partitions": [_partition_json(one) for one in shown],
        "partition_count": len(verdict.partitions),
        "maxlag": _partition_json(verdict.max_lag) if verdict.max_lag is not None else None,
        "totallag": verdict.total_lag,
    }


def _partition_json(verdict: PartitionVerdict) -> dict[str, Any]:
    return {
        "topic": verdict.partition.topic,
        "partition": verdict.partition.partition,
        "owner": verdict.owner,
        "client_id": verdict.client_id,
        "status": str(verdict.status),
        "start": _commit_json(verdict.start),
        "end": _commit_json(verdict.end),
        "current_lag": verdict.current_lag,
        "complete": _number(verdict.complete),
    }


def _commit_json(commit: Commit | None) -> dict[str, Any] | None:
    if commit is None:
        return None
    return {
        "offset": commit.offset,
        "timestamp": commit.timestamp_ms,
        "observedAt": commit.observed_ms,
        "lag": commit.lag,
    }


def _number(share: float) -> float | int:
    """As Go writes a float32: seven digits, and 1 for 1.0."""
    short = float(f"{share:.7g}")
    return int(short) if short.is_integer() else short
