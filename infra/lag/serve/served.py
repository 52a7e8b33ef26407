"""What is served between two looks: the last reports, what Burrow keeps, and the pages made of them. For any thread."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from infra.kafka.commit_log import CommitRecord, GroupRemoved
from infra.lag.rules.burrow_store import BurrowStore
from infra.lag.serve.burrow_api import BurrowApi
from infra.lag.serve.exporter import Seen, gauge, kafka_exporter, lag_exporter
from infra.lag.serve.exporter_ours import burrow_metrics, our_metrics
from infra.lag.serve.scale import scale_json
from infra.process.health import TEXT, Page
from schemas.records import ProcessStatus

FAMILIES: dict[str, Callable[[Seen], Iterator[Metric]]] = {
    "lag-exporter": lag_exporter,
    "kafka-exporter": kafka_exporter,
    "burrow": burrow_metrics,
}
# After the time of so many looks without one its values are told no more: a frozen value looks like a healthy one.
STALE_LOOKS = 3
FIRST_LOOK = "the first look has not ended yet"


class Served:
    """Holds the last look; `families` are the names of FAMILIES that are exported beside our own."""

    def __init__(
        self, cluster: str, store: BurrowStore, servers: Sequence[str], families: Sequence[str], interval_s: float
    ) -> None:
        self._cluster, self._store = cluster, store
        self._interval_s = interval_s
        self._families = list(families)
        self._burrow = BurrowApi(cluster, store, servers, interval_s)
        self._lock = threading.Lock()
        self._seen: Seen | None = None
        self._seen_s = 0.0
        self._processes: list[ProcessStatus] = []
        self._fault = FIRST_LOOK
        self._text = b""

    def update(self, seen: Seen, processes: Sequence[ProcessStatus] = ()) -> None:
        """A look was made; `processes`: what our own say of themselves.

        The metrics are written once here, and not at each request: ten thousand partitions take a second.
        """
        with self._lock:
            by_burrow = list(burrow_metrics(seen)) if "burrow" in self._families else []
        others = [metric for name in self._families if name != "burrow" for metric in FAMILIES[name](seen)]
        text = _text([self._up(True), *others, *by_burrow, *our_metrics(seen)])
        with self._lock:
            self._text = text
            self._seen, self._seen_s, self._fault = seen, time.monotonic(), ""
            self._processes = list(processes)

    def failed(self, reason: str) -> None:
        """A look was not made."""
        with self._lock:
            self._fault = reason

    def locked(self) -> threading.Lock:
        """The lock for changes of what Burrow keeps."""
        return self._lock

    def commits_begin(self, reads: threading.Event) -> None:
        """The cluster's own log of commits is read from now on: what was taken from looks has other times, and goes."""
        with self._lock:
            if not reads.is_set():
                reads.set()
                for group in self._store.groups():
                    self._store.delete_group(group)

    def commit_seen(self, record: CommitRecord | GroupRemoved) -> None:
        """The cluster's own log tells a commit, or that a group is forgotten."""
        with self._lock:
            if isinstance(record, GroupRemoved):
                self._store.delete_group(record.group)
            else:
                now_ms = time.time_ns() // 1_000_000
                self._store.add_commit(
                    record.group, record.partition, record.offset, record.order, record.timestamp_ms, now_ms
                )

    def ready(self) -> str | None:
        """None while the values are fresh, else why not."""
        with self._lock:
            return None if self._fresh() else self._fault or "no look for too long"

    def answer(self, method: str, target: str) -> Page | None:
        """The page for a request; None for what every process serves."""
        path, _, query = target.partition("?")
        with self._lock:
            found = self._burrow.answer(method, target, time.time_ns() // 1_000_000, is_ready=self._fresh())
        if found is not None:
            return replace(_page(found.code, found.body), headers=found.headers)
        if method != "GET":
            return None
        if path == "/metrics":
            with self._lock:
                # Before the first look nothing is known: neither that the cluster is up nor that it is away.
                text = self._text if self._fresh() or self._fault == FIRST_LOOK else _text([self._up(False)])
            return Page(200, text, CONTENT_TYPE_LATEST)
        if path.startswith("/v1/scale/"):
            return self._scale(path.removeprefix("/v1/scale/"), query)
        with self._lock:
            if path == "/v1/groups":
                return _page(200, [one.as_json() for one in self._seen.reports] if self._seen else [])
            if path == "/v1/targets":
                return _page(200, targets_json(self._processes))
        return None

    def _scale(self, group: str, query: str) -> Page:
        with self._lock:
            reports = self._seen.reports if self._seen is not None and self._fresh() else []
        for report in reports:
            if report.group == group:
                return _page(200, scale_json(report, query))
        # No number: an autoscaler then keeps what it has, or takes its fallback.
        return _page(404 if reports else 503, {"error": f"nothing is known of the group {group} now"})

    def _fresh(self) -> bool:
        if self._seen is None:
            return False
        # Where the cluster is slow a look takes longer than the interval: that is no cluster that is away.
        return time.monotonic() - self._seen_s <= STALE_LOOKS * max(self._interval_s, self._seen.took_s)

    def _up(self, is_up: bool) -> Metric:
        return gauge("sightline_lag_up", "1 while the values are fresh", ("cluster",), [((self._cluster,), is_up)])


def targets_json(processes: Sequence[ProcessStatus]) -> list[dict[str, Any]]:
    """Where the metrics of our processes are, in the form of Prometheus' HTTP service discovery."""
    return [
        {"targets": [one.metrics_address], "labels": {"job": f"sightline-{one.stage}", "lane": one.lane}}
        for one in processes
        if one.metrics_address is not None
    ]


class _Collected(Collector):
    """Metrics that are made already."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics


def _text(metrics: list[Metric]) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(metrics))
    return generate_latest(registry)


def _page(code: int, body: Any) -> Page:
    if isinstance(body, str):
        return Page(code, body.encode(), TEXT)
    return Page(code, json.dumps(body).encode())
