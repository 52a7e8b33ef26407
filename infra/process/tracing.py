"""The one switch for the traces of a process, off by default. Off, OpenTelemetry is not imported and no span is made.

Spans of Kafka records are made by `infra.kafka.traces`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from infra.process import logs
from infra.settings import TracingSettings
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from infra.process.spans import Tracer

log = logs.get(__name__)

# For what waits at the end of a process: it comes out of the ten seconds between SIGTERM and SIGKILL.
FLUSH_S = 0.5

# None: traces are off.
active: "Tracer | None" = None


@contextmanager
def running(settings: TracingSettings, service: str, exporter: "SpanExporter | None" = None) -> Iterator[None]:
    """Makes spans meanwhile, if `tracing.enabled`, and exports the last of them within `FLUSH_S`.

    `exporter`: instead of OTLP over HTTP. Raises ConfigError when a package is missing.
    """
    global active
    if not settings.enabled or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        yield
        return
    tracer = active = _new_tracer(settings, service, exporter)
    log.info("traces are on", endpoint=settings.endpoint, sample_ratio=settings.sample_ratio)
    try:
        yield
    finally:
        active = None
        tracer.close(FLUSH_S)


def _new_tracer(settings: TracingSettings, service: str, exporter: "SpanExporter | None") -> "Tracer":
    try:
        from infra.process.span_export import SpanExport
        from infra.process.spans import Tracer

        if exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            exporter = OTLPSpanExporter(settings.endpoint, timeout=settings.timeout_ms / 1000)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"tracing.enabled needs the Python package {error.name}: install the extra `otel` "
            "(pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http), or set tracing.enabled = false"
        ) from error
    export = SpanExport(exporter, settings.max_queue_spans, settings.export_interval_ms / 1000)
    return Tracer(export, settings.sample_ratio, service)
