"""The section of traces: whether spans are made and where they go."""

from typing import Annotated

from pydantic import Field

from infra.settings.base import Positive, Section, Share


class TracingSettings(Section):
    """`endpoint`: where a collector takes OTLP over HTTP; its credentials and certificates come from the variables of
    OpenTelemetry (`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_CERTIFICATE`).

    `sample_ratio`: the share of frames whose trace begins here; a frame that carries a trace context keeps its
    decision. `max_queue_spans`: ended spans that wait for the exporter. `timeout_ms`: of one export, with its retries.
    """

    enabled: bool = False
    endpoint: Annotated[str, Field(pattern=r"^https?://[^\s]+$")] = "http://127.0.0.1:4318/v1/traces"
    sample_ratio: Share = 0.01
    max_queue_spans: Positive = 4_096
    export_interval_ms: Positive = 1_000
    timeout_ms: Positive = 5_000
