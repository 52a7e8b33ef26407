"""Open spans and what makes them. Imports OpenTelemetry, so only `infra.process.tracing` imports it, and lazily."""

import random
from collections.abc import Iterable, Mapping

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace import Span as OtelSpan

from infra.process.span_export import SpanExport

Attribute = str | int | float | bool

# Of one span; more links are left out, and the span says how many.
MAX_LINKS, MAX_TEXT = 128, 1_024
KINDS = {"send": SpanKind.PRODUCER, "process": SpanKind.CONSUMER}


class Span:
    """One open span of a frame or of a batch; a span that is never ended is never exported. For any thread."""

    __slots__ = ("_otel", "_tracer", "traceparent")

    def __init__(self, tracer: "Tracer", otel: OtelSpan) -> None:
        self._tracer, self._otel = tracer, otel
        context = otel.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def child(self, name: str, kind: str, attributes: Mapping[str, Attribute]) -> "Span":
        return self._tracer.start(name, kind, attributes, parent=self)

    def set(self, attributes: Mapping[str, Attribute]) -> None:
        self._otel.set_attributes(attributes)

    def link(self, other: "Span") -> None:
        self._otel.add_link(other.context)

    def fail(self, error_class: str, text: str) -> None:
        """What the span stands for has failed."""
        self._otel.set_attribute("error.type", error_class)
        self._otel.set_status(Status(StatusCode.ERROR, text[:MAX_TEXT]))

    def end(self) -> None:
        """Only the first call counts."""
        if self._otel.is_recording():
            self._otel.end()

    @property
    def context(self) -> SpanContext:
        """What links name the span by."""
        return self._otel.get_span_context()


class Tracer:
    """Makes spans, each of which is recorded: whether a frame is sampled is decided before, by a look at its flag."""

    def __init__(self, export: SpanExport, sample_ratio: float, service: str) -> None:
        self._export, self._sample_ratio = export, sample_ratio
        provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.create({"service.name": service}),
            shutdown_on_exit=False,
            span_limits=SpanLimits(max_links=MAX_LINKS, max_span_attribute_length=MAX_TEXT),
        )
        provider.add_span_processor(export)
        self._tracer = provider.get_tracer("sightline")

    def samples(self) -> bool:
        """Whether a trace that begins here is recorded."""
        return random.random() < self._sample_ratio

    def start(
        self,
        name: str,
        kind: str,
        attributes: Mapping[str, Attribute],
        *,
        parent: Span | str | None = None,
        links: Iterable[Span | str] = (),
        start_ns: int | None = None,
    ) -> Span:
        """`kind`: send, process, or anything else for work inside a process. `parent`: a span here, or the
        `traceparent` of one in another process; without it a trace begins. `links` name spans in the same two ways.
        `start_ns`: since 1970; None: now.
        """
        otel = self._tracer.start_span(
            name,
            _context(parent),
            KINDS.get(kind, SpanKind.INTERNAL),
            attributes,
            [Link(_context_of(one)) for one in links],
            start_ns,
        )
        return Span(self, otel)

    def close(self, timeout_s: float) -> None:
        self._export.close(timeout_s)


def _context(parent: Span | str | None) -> Context:
    """A `traceparent` whose ids are all zero is nobody's: a trace begins."""
    if parent is None:
        return Context()
    return set_span_in_context(NonRecordingSpan(_context_of(parent)), Context())


def _context_of(span: Span | str) -> SpanContext:
    return _remote(span) if isinstance(span, str) else span.context


def _remote(traceparent: str) -> SpanContext:
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(int(flags, 16)))
