"""The switch of traces, and the queue before the exporter: nobody waits for a collector, and what is dropped counts."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from threading import Event

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from infra.process import metrics, tracing
from infra.process.span_export import SpanExport
from infra.process.spans import MAX_LINKS, Tracer
from infra.settings import TracingSettings
from tests.support.paths import ROOT
from tests.support.spans import recorded

STAGES = ("ingest.camera.command", "streams.command", "inference.worker.command", "sinks.jsonl.command")


class Answering(SpanExporter):
    """Answers as the test says; `hangs`: not before it is shut down."""

    def __init__(self, answer: SpanExportResult | Exception = SpanExportResult.SUCCESS, *, hangs: bool = False) -> None:
        self.answer, self.hangs, self.asked, self.is_shut = answer, hangs, Event(), Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.set()
        if self.hangs:
            self.is_shut.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def shutdown(self) -> None:
        self.is_shut.set()


def counted(result: str) -> float:
    return float(metrics.SPANS.labels(result)._value.get())


def test_off_nothing_is_imported_and_nothing_is_made() -> None:
    """In a process that cannot have OpenTelemetry: redis-py imports what it finds of it, by itself."""
    code = (
        "import importlib, sys; sys.modules['opentelemetry'] = None\n"
        f"for name in {STAGES}: importlib.import_module(name)\n"
        "from infra.kafka.traces import begin; from infra.process import tracing; from infra.settings import Settings\n"
        "with tracing.running(Settings().tracing, 'x'): assert begin('send', 't', None) == (None, None)\n"
        "found = [name for name in sys.modules if name.startswith('opentelemetry.') or name == 'infra.process.spans']\n"
        "assert found == [], found"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("missing", ["opentelemetry", "opentelemetry.exporter"])
def test_a_missing_package_is_one_sentence(missing: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from infra.process import tracing; from infra.settings import TracingSettings\n"
        "with tracing.running(TracingSettings(enabled=True), 'x'): pass"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.stderr.strip().splitlines()[-1].startswith("schemas.errors.ConfigError: tracing.enabled needs")
    assert "install the extra `otel`" in ended.stderr


def test_the_variable_of_opentelemetry_switches_it_off_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with recorded():
        assert tracing.active is None


def test_a_full_queue_drops_and_counts() -> None:
    exporter, before, exported = Answering(hangs=True), counted("queue_full"), counted("exported")
    export = SpanExport(exporter, max_spans=3, interval_s=0.01)
    tracer = Tracer(export, 1.0, "test")
    tracer.start("a", "x", {}).end()
    assert exporter.asked.wait(10)
    for _ in range(5):  # 3 wait, and nobody takes them
        tracer.start("a", "x", {}).end()
    assert counted("queue_full") - before == 2
    unsent, began_s = counted("unsent"), time.monotonic()
    export.close(0.1)
    assert time.monotonic() - began_s < 5
    _until(lambda: counted("exported") - exported == 1)  # the one that hung
    assert counted("unsent") - unsent == 3
    tracer.start("late", "x", {}).end()
    assert counted("queue_full") - before == 3


@pytest.mark.parametrize("answer", [SpanExportResult.FAILURE, OSError("no route to host")])
def test_an_export_that_fails_counts_and_the_next_goes_on(answer: SpanExportResult | Exception) -> None:
    exporter, failed, exported = Answering(answer), counted("failed"), counted("exported")
    export = SpanExport(exporter, max_spans=3, interval_s=0.01)
    tracer = Tracer(export, 1.0, "test")
    tracer.start("a", "x", {}).end()
    _until(lambda: counted("failed") - failed == 1)
    exporter.answer = SpanExportResult.SUCCESS
    tracer.start("b", "x", {}).end()
    export.close(10)
    assert (counted("failed") - failed, counted("exported") - exported) == (1, 1)


def test_spans_are_bounded_in_links_and_text() -> None:
    with recorded() as found:
        assert tracing.active is not None
        members = [tracing.active.start("member", "x", {}) for _ in range(MAX_LINKS + 72)]
        span = tracing.active.start("batch", "x", {"text": "x" * 100_000}, links=members)
        span.fail("broken", "y" * 100_000)
        span.end()
    (batch,) = found.spans["batch"]
    assert (len(batch.links), batch.dropped_links) == (MAX_LINKS, 72)
    assert batch.attributes is not None
    assert len(str(batch.attributes["text"])) == len(batch.status.description or "") == 1_024


def test_an_endpoint_without_a_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="endpoint"):
        TracingSettings(endpoint="collector:4318")


def _until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.01)
