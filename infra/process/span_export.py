"""From ended spans to the exporter: a bounded queue and a thread, so that no stage ever waits for a collector."""

import threading
from collections import deque

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from infra.process import logs, metrics

log = logs.get(__name__)

# Spans in one request.
MAX_REQUEST_SPANS = 512


class SpanExport(SpanProcessor):
    """Spans that find the queue full, and those whose export fails, are dropped and counted.

    The processor of the SDK tells of neither, and its shutdown waits 30 s for a collector that is away.
    """

    def __init__(self, exporter: SpanExporter, max_spans: int, interval_s: float) -> None:
        self._exporter, self._max_spans, self._interval_s = exporter, max_spans, interval_s
        self._request_spans = min(MAX_REQUEST_SPANS, max_spans)
        self._changed = threading.Condition()
        self._spans: deque[ReadableSpan] = deque()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="span-export", daemon=True)
        self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        with self._changed:
            is_taken = len(self._spans) < self._max_spans and not self._is_closing
            if is_taken:
                self._spans.append(span)
                if len(self._spans) == self._request_spans:
                    self._changed.notify()
        if not is_taken:
            metrics.SPANS.labels("queue_full").inc()

    def close(self, timeout_s: float) -> None:
        """Export what waits, for so long at most. What is left then is dropped and counted."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(timeout_s)
        with self._changed:
            left = len(self._spans)
            self._spans.clear()
        self._exporter.shutdown()  # it ends the pauses between the retries of an export that still runs
        if left:
            metrics.SPANS.labels("unsent").inc(left)
            log.warning("spans not exported before the end", spans=left)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._is_due, self._interval_s)
                taken = [self._spans.popleft() for _ in range(min(len(self._spans), self._request_spans))]
                is_over = self._is_closing and not taken
            if is_over:
                return
            if taken:
                metrics.SPANS.labels("exported" if self._export(taken) else "failed").inc(len(taken))

    def _is_due(self) -> bool:
        return self._is_closing or len(self._spans) >= self._request_spans

    def _export(self, spans: list[ReadableSpan]) -> bool:
        try:
            return self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception as error:  # noqa: BLE001 - traces never end a stage; the exporter logs what it knows itself
            log.warning("spans not exported", error=repr(error))
            return False
