"""What follows once the labels of a batch are on the broker: metrics, the failure breaker, and the cache."""

import time

from inference.cache.writer import CacheWriter
from inference.device.work import LabelledFrame, Work
from inference.worker import traces
from infra.failures.breaker import Breaker
from infra.failures.outcomes import BATCHES_SKIPPED, error_class_of
from infra.process import metrics
from schemas.errors import Stalled


class AfterDelivery:
    """Called by the poll thread, once for each piece of work. Raises Stalled when the breaker opens."""

    def __init__(self, breaker: Breaker, cache: CacheWriter | None) -> None:
        self._breaker, self._cache = breaker, cache

    def __call__(self, work: Work) -> None:
        traces.end(work)
        now_us = time.time_ns() // 1000
        for outcome in work.outcomes.values():
            if isinstance(outcome, LabelledFrame):
                label = outcome.label
                metrics.LABELS.labels(label.origin, label.decision).inc()
                metrics.END_TO_END_SECONDS.observe(max(0.0, (now_us - label.captured_at) / 1e6))
                self._breaker.record()
            else:
                self._breaker.record(error_class_of(outcome.error))
        metrics.BATCHES_SKIPPED.inc(work.skipped_batches)
        if work.bad is not None and work.bad.reason != BATCHES_SKIPPED:
            self._breaker.record(error_class_of(work.bad))
        if self._cache is not None:
            self._cache.put(work)
        reason = self._breaker.verdict()
        if reason is not None:
            raise Stalled(reason)
