"""The exact cache: labels of byte-identical images, read by all stream processors and written by the workers.

Redis may be down: no fault of Redis is raised here, no look-up lasts longer than `redis.timeout_ms`, and no frame waits
for a server that is known to fail. A fault counts as a miss; it is logged when the state changes.

Look-ups and stores have a circuit breaker each, because each can fail while the other works: a read-only replica, an
ACL without SET and a full memory refuse stores only.
"""

import asyncio
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from inference.cache.circuit import CircuitBreaker
from inference.cache.record import CachedLabel, decode, encode
from inference.cache.scope import CacheScope
from inference.cache.store import KeyValues, RedisKeyValues
from inference.models.base import ModelInfo
from infra.process import logs, metrics
from infra.redis.client import FAULTS, fault_text
from infra.redis.route import RouteChanged
from infra.settings import Settings

TIER = "exact"
# What a probe of the look-ups may take: the first use of a cluster asks its nodes for their slots. No frame waits.
PROBE_S = 5.0
# Scopes at work at once: two ways in which pixels are made during an upgrade, and a few replays.
MAX_SCOPES = 64
STORES_FAIL = "Redis fails: going on without storing labels"
STORES_WORK = "Redis answers again: labels are stored"

__all__ = ["CacheEntry", "CachedLabel", "ExactCache", "open_cache"]

log = logs.get(__name__)

# Values by key, by the time in s that they live.
_Stored: TypeAlias = dict[int, dict[str, bytes]]


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One image whose label the broker has acknowledged.

    `preparation`: how its pixels were made; None: as here. `replay_id`: of the replay that labelled it, if any.
    """

    image_hash: bytes
    label: CachedLabel
    embedding: npt.NDArray[np.float16] | None = None
    preparation: str | None = None
    replay_id: str | None = None


def open_cache(settings: Settings, info: ModelInfo) -> "ExactCache":
    """Opens no connection; the first use does."""
    scope = CacheScope.of(settings, info)
    log.info("the cache's scope", key=scope.key(), model=str(info.ref), runtime=scope.runtime or "auto")
    return ExactCache(
        RedisKeyValues(settings),
        scope,
        prefix=f"{settings.topic_prefix}sightline:",
        top_k=settings.infer.top_k,
        ttl_s=settings.redis.ttl_s,
        replay_ttl_s=settings.redis.replay_ttl_s,
        breaker_open_ms=settings.redis.breaker_open_ms,
    )


class ExactCache:
    """Keys hold the digest of all that a label depends on, so that one that was made in another way is never found.

    Labels of a replay have keys of their own, with `replay:` in them, and live for `replay_ttl_s`: a server that is
    full lets those go first whose time ends first (`maxmemory-policy volatile-ttl`).
    `lookup` is for one event loop, `store` for one thread; both may be used at the same time.
    """

    def __init__(
        self,
        values: KeyValues,
        scope: CacheScope,
        *,
        prefix: str,
        top_k: int,
        ttl_s: int,
        breaker_open_ms: int,
        replay_ttl_s: int = 600,
    ) -> None:
        classes = scope.model.classes
        self._values, self._classes, self._ttl_s, self._replay_ttl_s = values, classes, ttl_s, replay_ttl_s
        self._index_of = {class_id: index for index, (class_id, _) in enumerate(classes)}
        self._own_preparation = scope.preparation
        self._scope_key = lru_cache(MAX_SCOPES)(
            lambda preparation, replay_id: scope.prepared_by(preparation).of_replay(replay_id).key()
        )
        self._prefix, self._top_k = prefix, min(top_k, len(classes))
        self._lookups, self._stores = CircuitBreaker(breaker_open_ms), CircuitBreaker(breaker_open_ms)
        self._lock = threading.Lock()
        self._probe: asyncio.Task[None] | None = None
        # What failed last, which a probe repeats: other keys or fewer values can work where these do not.
        self._failed_keys: list[str] = []
        self._failed_values: _Stored = {}

    def label_key(self, image_hash: bytes, preparation: str | None = None, replay_id: str | None = None) -> str:
        return self._key("x", image_hash, preparation, replay_id)

    def embedding_key(self, image_hash: bytes, preparation: str | None = None, replay_id: str | None = None) -> str:
        return self._key("e", image_hash, preparation, replay_id)

    async def lookup(self, hashes: Sequence[bytes], replay_ids: Sequence[str | None] = ()) -> list[CachedLabel | None]:
        """One answer per hash, in their order, in one round trip. None is a miss; every fault is a miss too.

        `replay_ids`: of each hash, the replay that asks; without them nobody of a replay asks.
        """
        if not hashes:
            return []
        askers = replay_ids or [None] * len(hashes)
        keys = [self.label_key(each, replay_id=asker) for each, asker in zip(hashes, askers, strict=True)]
        if not self._may_look_up():
            return self._missed(len(hashes), "skipped")
        started = time.perf_counter()
        try:
            values = await self._values.get_many(keys)
        except RouteChanged:
            self._failed_keys = keys
            with self._lock:
                self._lookups.hold()
            self._may_look_up()  # the probe makes the next client: asking a cluster for its nodes takes a while
            return self._missed(len(hashes), "skipped")
        except FAULTS as fault:
            self._failed_keys = keys
            self._failed(self._lookups, fault)
            return self._missed(len(hashes), "error")
        self._succeeded(self._lookups)
        metrics.CACHE_LOOKUP_SECONDS.observe(time.perf_counter() - started)
        labels = [self._read(value) for value in values]
        metrics.CACHE_REQUESTS.labels(TIER, "hit").inc(sum(label is not None for label in labels))
        return labels

    def store(self, entries: Iterable[CacheEntry]) -> bool:
        """Store labels, and embeddings where given, in one round trip. False when they are not stored.

        Call it after the broker has acknowledged the labels: a cached label of a frame that failed would hide the
        failure. A label that the format cannot hold is left out. While stores fail, most calls do nothing; one now and
        then is the probe.
        """
        values: _Stored = {}
        count = refused = 0
        for entry in entries:
            label = encode(entry.label, self._index_of)
            if label is None:
                refused += 1
                continue
            count += 1
            place = entry.image_hash, entry.preparation, entry.replay_id
            into = values.setdefault(self._ttl_s if entry.replay_id is None else self._replay_ttl_s, {})
            into[self.label_key(*place)] = label
            if entry.embedding is not None:
                into[self.embedding_key(*place)] = entry.embedding.astype("<f2").tobytes()
        if refused:
            metrics.CACHE_STORES.labels("refused").inc(refused)
            log.warning("labels that the cache's format cannot hold are not stored", labels=refused)
        if not values:
            return True
        with self._lock:
            is_probe = self._stores.probe_due(_now_ms())
            usable = is_probe or not self._stores.is_open
        if not usable:
            metrics.CACHE_STORES.labels("skipped").inc(count)
            return False
        try:
            for stored in (self._failed_values, values) if is_probe else (values,):
                for ttl_s, of_ttl in stored.items():
                    self._values.set_many(of_ttl, ttl_s)
        except FAULTS as fault:
            if not is_probe:
                self._failed_values = values
            self._failed(self._stores, fault)
            metrics.CACHE_STORES.labels("error").inc(count)
            return False
        self._failed_values = {}
        self._succeeded(self._stores, is_probe)
        metrics.CACHE_STORES.labels("stored").inc(count)
        return True

    async def aclose(self) -> None:
        """Close the connections of `lookup` and of `store`."""
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.wait([self._probe])
        await self._values.aclose()
        self._values.close()

    def close(self) -> None:
        """Close the connections of `store`."""
        self._values.close()

    def _key(self, kind: str, image_hash: bytes, preparation: str | None, replay_id: str | None) -> str:
        lane = "" if replay_id is None else "replay:"
        scope_key = self._scope_key(preparation or self._own_preparation, replay_id)
        return f"{self._prefix}{lane}{kind}:{scope_key}:{image_hash.hex()}"

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

    def _may_look_up(self) -> bool:
        """False while the circuit is open. A task then probes Redis now and then, so that no frame waits for it.

        Raises what a probe raised that is no fault of Redis.
        """
        if self._probe is not None and self._probe.done():
            ended, self._probe = self._probe, None
            ended.result()
        with self._lock:
            usable = not self._lookups.is_open
            probe_now = self._probe is None and self._lookups.probe_due(_now_ms())
        if probe_now:
            self._probe = asyncio.get_running_loop().create_task(self._probe_lookups())
        return usable

    async def _probe_lookups(self) -> None:
        try:
            try:
                await self._values.get_many(self._failed_keys, PROBE_S)
            except RouteChanged:
                await self._values.get_many(self._failed_keys, PROBE_S)
            await self._values.get_many(self._failed_keys)  # as fast as a look-up must be, once it is connected
        except FAULTS as fault:
            self._failed(self._lookups, fault)
        else:
            self._succeeded(self._lookups, is_probe=True)

    def _failed(self, circuit: CircuitBreaker, fault: Exception) -> None:
        with self._lock:
            is_news = circuit.failed(_now_ms())
            self._tell_metric()
        if is_news:
            event = "Redis fails: going on without the cache" if circuit is self._lookups else STORES_FAIL
            log.warning(event, error=fault_text(fault))

    def _succeeded(self, circuit: CircuitBreaker, is_probe: bool = False) -> None:
        with self._lock:
            is_news = circuit.succeeded(_now_ms(), is_probe=is_probe)
            self._tell_metric()
        if is_news:
            log.info("Redis answers again: the cache is in use" if circuit is self._lookups else STORES_WORK)

    def _tell_metric(self) -> None:
        metrics.CACHE_UP.set(not (self._lookups.is_open or self._stores.is_open))


def _now_ms() -> float:
    return time.monotonic() * 1000
