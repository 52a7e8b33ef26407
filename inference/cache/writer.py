"""Writes delivered labels to the cache in a thread of its own: a slow Redis costs cache entries, never labels."""

import queue
import threading
import time

from inference.cache.exact import CacheEntry, ExactCache
from inference.cache.record import CachedLabel
from inference.device.work import LabelledFrame, Work
from infra.process import logs, metrics
from schemas.records import PixelEncoding

log = logs.get(__name__)

MAX_WAITING = 64
MAX_MERGED_ENTRIES = 512


class CacheWriter:
    """One thread and a bounded queue. `put` never waits: what does not fit is dropped and counted.

    Embeddings are thirty times as large as a label, so they are written only `with_embeddings`, and never of a replay,
    where nobody looks for them. `jpeg_preparation` is
    how this worker makes pixels itself; how others were made their micro-batches tell, and if not, nothing is written.
    """

    def __init__(self, cache: ExactCache, jpeg_preparation: str, with_embeddings: bool = False) -> None:
        self._cache, self._jpeg_preparation, self._with_embeddings = cache, jpeg_preparation, with_embeddings
        self._queue: queue.Queue[list[CacheEntry] | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._write, name="cache", daemon=True)
        self._thread.start()

    def put(self, work: Work) -> None:
        """Queue the labels of delivered work."""
        if not work.may_be_cached:
            metrics.CACHE_STORES.labels("unwanted").inc(len(work.items))
            return
        preparation = self._jpeg_preparation if work.encoding is PixelEncoding.JPEG else work.preparation
        if preparation is None:
            metrics.CACHE_STORES.labels("unknown_preparation").inc(len(work.items))
            return
        with_embeddings = self._with_embeddings and work.replay_id is None
        entries = [
            CacheEntry(
                work.items[index].image_hash,
                CachedLabel(outcome.label.predictions, outcome.label.quality),
                outcome.embedding if with_embeddings else None,
                preparation,
                work.replay_id,
            )
            for index, outcome in work.outcomes.items()
            if isinstance(outcome, LabelledFrame)
        ]
        if not entries:
            return
        try:
            self._queue.put_nowait(entries)
        except queue.Full:
            metrics.CACHE_STORES.labels("dropped").inc(len(entries))

    def close(self, timeout_s: float) -> None:
        """Write what waits, as far as the time allows."""
        end_s = time.monotonic() + timeout_s
        try:
            self._queue.put(None, timeout=timeout_s / 2)
        except queue.Full:
            log.warning("cache entries dropped at the stop", batches=self._queue.qsize())
            return
        self._thread.join(max(0.0, end_s - time.monotonic()))
        if not self._thread.is_alive():
            self._cache.close()

    def _write(self) -> None:
        while (entries := self._queue.get()) is not None:
            merged, is_last = list(entries), False
            while not is_last and len(merged) < MAX_MERGED_ENTRIES and (more := self._waiting()) is not _NOTHING:
                is_last = more is None
                merged += more or []
            self._store(merged)
            if is_last:
                return

    def _store(self, entries: list[CacheEntry]) -> None:
        try:
            self._cache.store(entries)
        except Exception:  # nobody would notice the end of this thread, and later labels would not be cached
            metrics.CACHE_STORES.labels("error").inc(len(entries))
            log.exception("labels could not be cached", labels=len(entries))

    def _waiting(self) -> list[CacheEntry] | None:
        try:
            return self._queue.get_nowait()
        except queue.Empty:
            return _NOTHING


_NOTHING: list[CacheEntry] = []
