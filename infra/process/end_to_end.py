"""The time from capture to label, of labels of every origin."""

from infra.process.metrics import END_TO_END_SECONDS
from schemas.records import Label, Micros

# OpenMetrics: the names and values of an exemplar have no more characters than this together.
MAX_EXEMPLAR_CHARACTERS = 128


def observe_end_to_end(label: Label, traceparent: str | None, now: Micros) -> None:
    """The broker has acknowledged the label. Its exemplar names the trace and the frame."""
    seconds = max(0.0, (now - label.captured_at) / 1e6)
    END_TO_END_SECONDS.labels(label.origin.value).observe(seconds, exemplar_of(label.frame_id, traceparent))


def exemplar_of(frame_id: str, traceparent: str | None) -> dict[str, str]:
    """The id of the trace, where there is one, and the id of the frame, unless it is too long."""
    found = {} if traceparent is None else {"trace_id": traceparent.split("-")[1]}
    characters = sum(len(name) + len(value) for name, value in found.items())
    if characters + len("frame_id") + len(frame_id) <= MAX_EXEMPLAR_CHARACTERS:
        found["frame_id"] = frame_id
    return found
