"""The exact cache: labels of byte-identical images, read by all stream processors and written by the workers.

Redis may be down: no fault of Redis is raised here, no call lasts longer than `redis.timeout_ms`, and no frame waits
for a server that is known to fail. A fault counts as a miss; it is logged when the state changes.
"""

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.cache.circuit import CircuitBreaker
from inference.cache.record import CachedLabel, decode, encode
from inference.cache.store import FAULTS, KeyValues, RedisKeyValues
from inference.models.base import ModelInfo
from infra.process import logs, metrics
from infra.settings import Settings

TIER = "exact"

__all__ = ["CacheEntry", "CachedLabel", "ExactCache", "open_cache"]

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One image whose label the broker has acknowledged."""

    image_hash: bytes
    label: CachedLabel
    embedding: npt.NDArray[np.float16] | None = None


def open_cache(settings: Settings, info: ModelInfo) -> "ExactCache":
    """Opens no connection; the first use does."""
    return ExactCache(
        RedisKeyValues(settings),
        info,
        prefix=f"{settings.topic_prefix}sightline:",
        top_k=settings.infer.top_k,
        ttl_s=settings.redis.ttl_s,
        breaker_open_ms=settings.redis.breaker_open_ms,
    )


class ExactCache:
    """Keys hold model name, version and calibration, so that a label of another model is never found.

    `lookup` is for one event loop, `store` for one thread; both may be used at the same time.
    """

    def __init__(
        self, values: KeyValues, info: ModelInfo, *, prefix: str, top_k: int, ttl_s: int, breaker_open_ms: int
    ) -> None:
        ref = info.ref
        self._values, self._classes, self._ttl_s = values, info.classes, ttl_s
        self._index_of = {class_id: index for index, (class_id, _) in enumerate(info.classes)}
        self._scope = f"{ref.name}-{ref.version}-{ref.calibration}"
        self._prefix, self._top_k = prefix, min(top_k, len(info.classes))
        self._circuit, self._lock = CircuitBreaker(breaker_open_ms), threading.Lock()

    def label_key(self, image_hash: bytes) -> str:
        return f"{self._prefix}x:{self._scope}:{image_hash.hex()}"

    def embedding_key(self, image_hash: bytes) -> str:
        return f"{self._prefix}e:{self._scope}:{image_hash.hex()}"

    async def lookup(self, hashes: Sequence[bytes]) -> list[CachedLabel | None]:
        """One answer per hash, in their order, in one round trip. None is a miss; every fault is a miss too."""
        if not hashes or not self._may_use():
            return self._missed(len(hashes), "skipped")
        started = time.perf_counter()
        try:
            values = await self._values.get_many([self.label_key(each) for each in hashes])
        except FAULTS as fault:
            self._failed(fault)
            return self._missed(len(hashes), "error")
        self._succeeded()
        metrics.CACHE_LOOKUP_SECONDS.observe(time.perf_counter() - started)
        labels = [self._read(value) for value in values]
        metrics.CACHE_REQUESTS.labels(TIER, "hit").inc(sum(label is not None for label in labels))
        return labels

    def store(self, entries: Iterable[CacheEntry]) -> bool:
        """Store labels, and embeddings where given, for `ttl_s` in one round trip. False when they are not stored.

        Call it after the broker has acknowledged the labels: a cached label of a frame that failed would hide the
        failure. A label that the format cannot hold is left out.
        """
        values: dict[str, bytes] = {}
        count = refused = 0
        for entry in entries:
            label = encode(entry.label, self._index_of)
            if label is None:
                refused += 1
                continue
            count += 1
            values[self.label_key(entry.image_hash)] = label
            if entry.embedding is not None:
                values[self.embedding_key(entry.image_hash)] = entry.embedding.astype("<f2").tobytes()
        if refused:
            metrics.CACHE_STORES.labels("refused").inc(refused)
            log.warning("labels that the cache's format cannot hold are not stored", labels=refused)
        if not values or not self._may_use():
            metrics.CACHE_STORES.labels("skipped").inc(count)
            return not values
        try:
            self._values.set_many(values, self._ttl_s)
        except FAULTS as fault:
            self._failed(fault)
            metrics.CACHE_STORES.labels("error").inc(count)
            return False
        self._succeeded()
        metrics.CACHE_STORES.labels("stored").inc(count)
        return True

    async def aclose(self) -> None:
        """Close the connections of `lookup` and of `store`."""
        await self._values.aclose()
        self._values.close()

    def close(self) -> None:
        """Close the connections of `store`."""
        self._values.close()

    def _read(self, value: bytes | None) -> CachedLabel | None:
        if value is None:
            return self._missed(1, "miss")[0]
        label = decode(value, self._classes)
        if label is None:
            return self._missed(1, "corrupt")[0]
        if len(label.predictions) < self._top_k:  # stored when fewer were asked for
            return self._missed(1, "miss")[0]
        return CachedLabel(label.predictions[: self._top_k], label.quality)

    def _missed(self, count: int, result: str) -> list[CachedLabel | None]:
        if count:
            metrics.CACHE_REQUESTS.labels(TIER, result).inc(count)
        return [None] * count

    def _may_use(self) -> bool:
        """False while the circuit is open. A thread then probes Redis now and then, so that no frame waits for it."""
        with self._lock:
            usable = not self._circuit.is_open
            probe_now = self._circuit.probe_due(_now_ms())
        if probe_now:
            threading.Thread(target=self._probe, name="cache-probe", daemon=True).start()
        return usable

    def _probe(self) -> None:
        try:
            self._values.ping()
        except FAULTS as fault:
            self._failed(fault)
        else:
            self._succeeded()

    def _failed(self, fault: Exception) -> None:
        with self._lock:
            opened = self._circuit.failed(_now_ms())
        if opened:
            metrics.CACHE_UP.set(0)
            log.warning("Redis fails: going on without the cache", error=f"{type(fault).__name__}: {fault}")

    def _succeeded(self) -> None:
        with self._lock:
            closed = self._circuit.succeeded()
        metrics.CACHE_UP.set(1)
        if closed:
            log.info("Redis answers again: the cache is in use")


def _now_ms() -> float:
    return time.monotonic() * 1000
