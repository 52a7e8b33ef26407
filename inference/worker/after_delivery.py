"""What follows once the labels of a batch are on the broker: metrics, the failure breaker, and the cache."""

import time

from inference.cache.writer import CacheWriter
from inference.device.work import LabelledFrame, Work
from inference.labelling.decision_metrics import DecisionMetrics
from inference.worker import traces
from infra.failures.breaker import Breaker
from infra.failures.outcomes import BATCHES_SKIPPED, error_class_of
from infra.process import metrics
from infra.process.end_to_end import observe_end_to_end
from infra.process.times import now_us
from schemas.errors import Stalled
from schemas.headers import traceparents_of


class AfterDelivery:
    """Called by the poll thread, once for each piece of work. Raises Stalled when the breaker opens."""

    def __init__(self, breaker: Breaker, cache: CacheWriter | None, decisions: DecisionMetrics) -> None:
        self._breaker, self._cache, self._decisions = breaker, cache, decisions

    def __call__(self, work: Work) -> None:
        traces.end(work)
        now, parents = now_us(), traceparents_of(work.record.headers, len(work.items))
        for index, outcome in work.outcomes.items():
            if isinstance(outcome, LabelledFrame):
                label = outcome.label
                metrics.LABELS.labels(label.origin, label.decision).inc()
                observe_end_to_end(label, parents[index], now)
                self._decisions.observe(label, time.monotonic())
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
