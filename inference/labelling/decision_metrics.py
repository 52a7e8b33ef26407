"""Tells the metrics of the labels that were written: their confidence, the share for review, and drift by source."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from inference.labelling.drift import SLOTS, ConfidenceWindows, drift
from inference.labelling.top_sources import TopSources
from infra.process import metrics
from infra.settings import ConfidenceSettings
from schemas.records import Label, Origin


class DecisionMetrics:
    """One thread calls `observe`; any may ask for `families`.

    Drift goes by what the model said: a cache hit says again what the model said of the same picture.
    """

    def __init__(self, settings: ConfidenceSettings) -> None:
        self._settings = settings
        window_s = settings.window_min * 60.0
        self._sources = TopSources(
            settings.max_sources,
            lambda: ConfidenceWindows(window_s, settings.reference_windows, settings.sample_every_ms / 1000),
            window_s / SLOTS,
        )
        self._lock = threading.Lock()

    def observe(self, label: Label, now_s: float) -> None:
        """The broker has acknowledged this label."""
        if label.score is not None:
            metrics.CONFIDENCE.labels(label.origin.value, label.decision.value).observe(label.score)
        with self._lock:
            windows = self._sources.add(label.source_id)
            if windows is not None:
                metrics.SOURCE_LABELS.labels(label.source_id, label.decision.value).inc()
                if label.origin is Origin.MODEL and label.score is not None:
                    windows.add(label.score, now_s)
            for source_id in self._sources.rank(now_s):
                metrics.SOURCE_LABELS.remove_by_labels({"source_id": source_id})

    def families(self, now_s: float) -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
        """The drift of each source whose samples are enough and not too old; the others are absent."""
        index, critical = metrics.confidence_drift()
        with self._lock:
            compared = [(source_id, windows.histograms(now_s)) for source_id, windows in self._sources.kept.items()]
        for source_id, (reference, present) in compared:
            found = drift(reference, present, self._settings.false_alarm_share)
            if found is not None:
                index.add_metric([source_id], found.psi)
                critical.add_metric([source_id], found.critical)
        return index, critical


@dataclass(frozen=True)
class _DriftCollector(Collector):
    """Looks at each scrape, so that a source without new labels is absent in time, although nothing is observed."""

    decisions: DecisionMetrics

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from self.decisions.families(time.monotonic())


@contextmanager
def drift_exported(decisions: DecisionMetrics) -> Iterator[None]:
    """While the block runs, the metrics of this process tell of drift."""
    collector = _DriftCollector(decisions)
    REGISTRY.register(collector)
    try:
        yield
    finally:
        REGISTRY.unregister(collector)
