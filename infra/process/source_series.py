"""Series per source, bounded: the first sources of a process have their own, all others share `source_id="other"`."""

import math
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

from prometheus_client import Gauge

OTHER = "other"
# Of these, the newest are combined into one value.
MAX_OTHERS = 10_000


class SourceLabels:
    """Gives each source its label. For any thread."""

    def __init__(self, max_sources: int) -> None:
        self.max_sources = max_sources
        self._lock = threading.Lock()
        self._own: set[str] = set()

    def __call__(self, source_id: str) -> str:
        if source_id in self._own:
            return source_id
        with self._lock:
            if len(self._own) < self.max_sources:
                self._own.add(source_id)
                return source_id
        return OTHER

    def forget(self, source_id: str) -> None:
        """The source was removed: another one may have its series."""
        with self._lock:
            self._own.discard(source_id)


class SourceGauge:
    """A gauge with the label `source_id`. `combine` makes one value of those of the other sources. For any thread."""

    def __init__(self, gauge: Gauge, label_of: SourceLabels, combine: Callable[[Iterable[float]], float]) -> None:
        self._gauge, self._label_of, self._combine = gauge, label_of, combine
        self._others: dict[str, float] = {}
        self._lock = threading.Lock()

    def set(self, source_id: str, value: float) -> None:
        label = self._label_of(source_id)
        with self._lock:
            if label == source_id:
                self._forget_other(source_id)  # a label that became free may be its own now
                self._gauge.labels(label).set(value)
                return
            if not self._others:
                self._gauge.labels(label).set_function(self._of_others)
            self._others.pop(source_id, None)
            self._others[source_id] = value
            while len(self._others) > MAX_OTHERS:
                del self._others[next(iter(self._others))]

    def forget(self, source_id: str) -> None:
        """The source was removed: it has no value any more."""
        with self._lock:
            self._forget_other(source_id)
            with suppress(KeyError):  # it had none of its own
                self._gauge.remove(source_id)

    def _forget_other(self, source_id: str) -> None:
        if self._others.pop(source_id, None) is not None and not self._others:
            self._gauge.remove(OTHER)

    def _of_others(self) -> float:
        with self._lock:
            values = list(self._others.values())
        return self._combine(values) if values else math.nan  # the last one was forgotten during this very scrape
