"""The spans of the frames in the worker: from the reading of their micro-batch until their labels are on the broker."""

from inference.device.staging import Run
from inference.device.work import FrameFailure, Work
from infra.failures.outcomes import error_class_of
from infra.kafka.traces import FRAME_ID, around, follow
from infra.process import tracing
from schemas.headers import traceparents_of


def begin(work: Work, group: str) -> None:
    """Give the sampled frames of a micro-batch their spans."""
    if tracing.active is None:
        return
    record = work.record
    for index, traceparent in enumerate(traceparents_of(record.headers, len(work.items))):
        span = follow(
            "process", record.topic, traceparent, partition=record.partition, offset=record.offset, group=group
        )
        if span is not None:
            span.set({FRAME_ID: work.items[index].frame_id})
            work.spans[index] = span


def ran(run: Run, model: str, started_ns: int) -> None:
    """The model has run: a span that links to the frames of the run which are sampled."""
    if tracing.active is None:
        return
    rows = [(part.work, index) for part in run.parts for index in part.work.rows[part.start : part.start + part.count]]
    members = [work.spans[index] for work, index in rows if index in work.spans]
    span = around(
        f"infer {model}", "infer", members, {"sightline.model": model, "sightline.images": len(rows)}, started_ns
    )
    if span is not None:
        span.end()


def end(work: Work) -> None:
    """All that became of the frames is on the broker."""
    for index, span in work.spans.items():
        outcome = work.outcomes[index]
        if isinstance(outcome, FrameFailure):
            span.fail(error_class_of(outcome.error), str(outcome.error))
        span.end()
