"""What is told of labels: their confidence, the share for review, and drift of the busiest sources."""

import pytest
from prometheus_client import REGISTRY

from inference.labelling.decision_metrics import DecisionMetrics, drift_exported
from infra.process import metrics
from infra.settings import ConfidenceSettings
from schemas.records import Decision, Origin
from tests.support.sink_records import a_label

SETTINGS = ConfidenceSettings(max_sources=2, window_min=1, reference_windows=3, sample_every_ms=0)


@pytest.fixture(autouse=True)
def clean() -> None:
    metrics.SOURCE_LABELS.clear()
    metrics.CONFIDENCE.clear()


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def of_source(decisions: DecisionMetrics, now_s: float) -> dict[str, tuple[float, float]]:
    index, critical = decisions.families(now_s)
    limits = {sample.labels["source_id"]: sample.value for sample in critical.samples}
    return {sample.labels["source_id"]: (sample.value, limits[sample.labels["source_id"]]) for sample in index.samples}


def test_confidence_and_the_review_share_by_source() -> None:
    decisions = DecisionMetrics(SETTINGS)
    for number in range(10):
        decision = Decision.REVIEW if number < 3 else Decision.ACCEPTED
        decisions.observe(a_label(source_id="cam-1", decision=decision, score=0.92), number)
    decisions.observe(a_label(source_id="cam-1", decision=Decision.REVIEW, score=None), 11)
    assert value("sightline_source_labels_total", source_id="cam-1", decision="REVIEW") == 4
    assert value("sightline_source_labels_total", source_id="cam-1", decision="ACCEPTED") == 7
    counted = {"origin": "MODEL", "decision": "REVIEW"}
    assert value("sightline_confidence_count", **counted) == 3, "without a score there is nothing to count"
    assert value("sightline_confidence_bucket", **counted, le="0.9") == 0
    assert value("sightline_confidence_sum", **counted) == pytest.approx(2.76)


def test_a_source_that_gives_way_to_a_busier_one_takes_its_series_along() -> None:
    decisions = DecisionMetrics(SETTINGS)
    for name in ("cam-1", "cam-2", *["cam-3"] * 20, *["cam-1"] * 5):
        decisions.observe(a_label(source_id=name), 0)
    decisions.observe(a_label(source_id="cam-3"), 11)
    assert value("sightline_source_labels_total", source_id="cam-2", decision="ACCEPTED") is None
    decisions.observe(a_label(source_id="cam-3"), 12)
    assert value("sightline_source_labels_total", source_id="cam-3", decision="ACCEPTED") == 1
    assert value("sightline_source_labels_total", source_id="cam-1", decision="ACCEPTED") == 6


def test_drift_is_told_once_samples_are_enough_and_no_longer_than_they_are_fresh() -> None:
    decisions, now_s = DecisionMetrics(SETTINGS), 0.0
    for number in range(1_800):
        now_s = number / 10
        decisions.observe(a_label(source_id="cam-1", score=0.5 + number % 40 / 100), now_s)
        decisions.observe(a_label(source_id="cam-2", score=0.9, origin=Origin.CACHE_EXACT), now_s)
        if number == 500:
            assert of_source(decisions, now_s) == {}, "there is no reference yet"
    index, critical = of_source(decisions, now_s)["cam-1"]
    assert index < critical
    for number in range(600):
        decisions.observe(a_label(source_id="cam-1", score=0.3 + number % 40 / 100), now_s + number / 10)
    found = of_source(decisions, now_s + 60)
    assert found["cam-1"][0] > found["cam-1"][1]
    assert "cam-2" not in found, "the cache only repeats what the model said"
    assert of_source(decisions, now_s + 600) == {}


def test_drift_stands_among_the_metrics_while_a_worker_runs() -> None:
    decisions = DecisionMetrics(SETTINGS)
    with drift_exported(decisions):
        assert "sightline_confidence_drift_psi" in {family.name for family in REGISTRY.collect()}
    with drift_exported(decisions):
        pass
    assert "sightline_confidence_drift_psi" not in {family.name for family in REGISTRY.collect()}


def test_no_source_is_told_of_where_none_is_wanted() -> None:
    decisions = DecisionMetrics(SETTINGS.model_copy(update={"max_sources": 0}))
    decisions.observe(a_label(source_id="cam-1", score=0.9), 0)
    assert value("sightline_source_labels_total", source_id="cam-1", decision="ACCEPTED") is None
    assert value("sightline_confidence_count", origin="MODEL", decision="ACCEPTED") == 1
