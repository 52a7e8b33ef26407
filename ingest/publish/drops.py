"""Counts of the frames that a producer did not publish."""

import threading
from collections import Counter

from infra.process import metrics
from infra.process.source_series import OTHER

# With counts of their own. Beyond it those that came first share one.
MAX_SOURCES = 10_000


class DropCounts:
    """Frames that will not be published, by source and reason, here and in the metrics. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_source: dict[str, Counter[str]] = {}

    def add(self, source_id: str, reason: str, count: int = 1) -> None:
        """Count `count` frames more. `reason` is a label of a metric: a short fixed word, never text from outside."""
        if count:
            with self._lock:
                self._by_source.setdefault(source_id, Counter())[reason] += count
                if len(self._by_source) > MAX_SOURCES:
                    oldest = next(one for one in self._by_source if one not in (source_id, OTHER))
                    self._by_source.setdefault(OTHER, Counter()).update(self._by_source.pop(oldest))
            metrics.FRAMES_DROPPED.labels(metrics.SOURCE_LABEL(source_id), reason).inc(count)

    def of(self, source_id: str) -> Counter[str]:
        """The frames of one source so far, by reason."""
        with self._lock:
            return self._by_source.get(source_id, Counter()).copy()

    def total(self) -> Counter[str]:
        """The frames of all sources so far, by reason."""
        with self._lock:
            return sum(self._by_source.values(), Counter())
