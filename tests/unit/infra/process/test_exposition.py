"""`/metrics` as text: labels that all series of a process have, and exemplars where OpenMetrics is asked for."""

import shutil
import subprocess
import sys
from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from infra.process.end_to_end import MAX_EXEMPLAR_CHARACTERS, exemplar_of
from infra.process.exposition import exposition
from infra.process.own_gauge import OwnGauge

TRACE = f"00-{7:032x}-{1:016x}-01"
# As Prometheus asks.
PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


@pytest.fixture
def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    Counter("sightline_frames_total", "frames", ["lane"], registry=made).labels("replay").inc()
    Gauge("sightline_paused", "1 while paused", registry=made).set(1)
    Gauge("process_threads", "not ours", registry=made).set(3)
    latency = Histogram("sightline_latency_seconds", "latency", buckets=(1.0,), registry=made)
    latency.observe(0.5, exemplar=exemplar_of("cam/1/2", TRACE))
    return made


def test_our_series_have_the_labels_of_the_process_and_keep_their_own(registry: CollectorRegistry) -> None:
    text, content_type = exposition("", {"lane": "live"}, registry)
    assert content_type.startswith("text/plain; version=0.0.4")
    lines = text.decode().splitlines()
    assert 'sightline_frames_total{lane="replay"} 1.0' in lines
    assert 'sightline_paused{lane="live"} 1.0' in lines
    assert "process_threads 3.0" in lines
    assert not any("trace_id" in line for line in lines), "the text format has no exemplars"


def test_who_asks_for_open_metrics_gets_exemplars(registry: CollectorRegistry) -> None:
    text, content_type = exposition(PROMETHEUS, {"lane": "live"}, registry)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    families: Iterable[Metric] = text_string_to_metric_families(text.decode())  # type: ignore[no-untyped-call]
    samples = [one for family in families for one in family.samples]
    (exemplar,) = [one.exemplar for one in samples if one.exemplar is not None]
    assert exemplar.labels == {"trace_id": f"{7:032x}", "frame_id": "cam/1/2"}
    assert all(one.labels["lane"] in ("live", "replay") for one in samples if one.name.startswith("sightline_"))


@pytest.mark.parametrize("trace", [TRACE, None])
def test_an_exemplar_is_never_larger_than_the_format_allows(trace: str | None) -> None:
    registry = CollectorRegistry()
    latency = Histogram("latency", "", buckets=(1.0,), registry=registry)
    longest = 0
    for length in range(1, 1024, 7):
        exemplar = exemplar_of("f" * length, trace)
        latency.observe(0.5, exemplar=exemplar)  # raises ValueError for one that is too large
        longest = max(longest, sum(len(name) + len(value) for name, value in exemplar.items()))
    assert MAX_EXEMPLAR_CHARACTERS - 7 < longest <= MAX_EXEMPLAR_CHARACTERS


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_no_fault_in_the_catalogue() -> None:
    import infra.process.metrics  # noqa: F401 - registers all of it

    text, _ = exposition("", {"lane": "live"})
    found = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (found.returncode, found.stdout + found.stderr) == (0, b"")


def test_a_process_without_a_model_or_a_cache_does_not_say_that_they_are_down() -> None:
    registry = CollectorRegistry()
    gauge = OwnGauge("sightline_thing_up", "1 while the thing is there", registry=registry)
    assert b"sightline_thing_up" not in exposition("", {}, registry)[0]
    gauge.set(0)
    assert b"sightline_thing_up 0.0" in exposition("", {}, registry)[0]
    code = (
        "import infra.process.metrics; from infra.process.exposition import exposition; "
        "print(exposition('', {})[0].decode())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "sightline_labels_total" in said
    assert not {name for name in ("sightline_model_ready", "sightline_cache_up") if name in said}
