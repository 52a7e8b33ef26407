"""A process with many sources has a bounded number of series."""

from collections.abc import Callable, Iterable

import pytest
from prometheus_client import CollectorRegistry, Gauge

from infra.process.source_series import SourceGauge, SourceLabels


def test_the_first_sources_keep_their_label_and_all_others_share_one() -> None:
    label_of = SourceLabels(2)
    assert [label_of(name) for name in ("a", "b", "c", "d", "b", "a", "c")] == [
        "a", "b", "other", "other", "b", "a", "other",
    ]  # fmt: skip


@pytest.mark.parametrize(("combine", "expected"), [(min, 0.0), (max, 7.0), (sum, 8.0)])
def test_the_gauge_of_the_others_has_one_value_of_all_of_theirs(
    combine: Callable[[Iterable[float]], float], expected: float
) -> None:
    registry = CollectorRegistry()
    gauge = SourceGauge(Gauge("up", "", ["source_id"], registry=registry), SourceLabels(1), combine)
    for source_id, value in (("a", 5.0), ("b", 3.0), ("c", 1.0), ("d", 0.0), ("b", 7.0)):
        gauge.set(source_id, value)
    assert registry.get_sample_value("up", {"source_id": "a"}) == 5.0
    assert registry.get_sample_value("up", {"source_id": "other"}) == expected
    assert registry.get_sample_value("up", {"source_id": "b"}) is None


def test_the_others_that_are_combined_are_bounded_and_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.process.source_series.MAX_OTHERS", 2)
    registry = CollectorRegistry()
    gauge = SourceGauge(Gauge("many", "many", ["source_id"], registry=registry), SourceLabels(0), min)
    for name, value in (("a", 1.0), ("b", 2.0), ("a", 3.0), ("c", 4.0)):
        gauge.set(name, value)
    assert registry.get_sample_value("many", {"source_id": "other"}) == 3.0


def test_a_source_that_was_removed_is_in_no_series_and_a_label_that_became_free_is_used_once() -> None:
    registry, labels = CollectorRegistry(), SourceLabels(1)
    gauge = SourceGauge(Gauge("up", "", ["source_id"], registry=registry), labels, min)

    def values() -> dict[str, float]:
        return {sample.labels["source_id"]: sample.value for family in registry.collect() for sample in family.samples}

    for source_id, value in (("a", 5.0), ("b", 3.0), ("c", 1.0)):
        gauge.set(source_id, value)
    gauge.forget("c")
    assert values() == {"a": 5.0, "other": 3.0}
    gauge.forget("a")
    labels.forget("a")
    gauge.set("b", 2.0)
    assert values() == {"b": 2.0}
    gauge.set("d", 4.0)
    gauge.forget("d")
    assert values() == {"b": 2.0}, "without a source there is no series of the others"
