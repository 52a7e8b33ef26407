"""What the findings mean: where the frame is, and how long each step took. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from infra.failures.outcomes import DEFERRED
from schemas.clocks import clock_of
from schemas.coordinates import Coordinates
from schemas.records import Label, Origin, micros_to_iso
from sinks.explain.found import BatchFound, FailureFound, Findings, FrameFound, Positions

BY = {
    Origin.MODEL: "by the model",
    Origin.CACHE_EXACT: "from the cache (the same bytes were labelled before)",
    Origin.CACHE_NEAR: "from the cache (a picture like it was labelled before)",
}


class State(StrEnum):
    """`missing`: no outcome, and no stage has the frame. `unknown`: the search did not reach far enough to tell."""

    LABELLED = "labelled"
    DEAD = "dead"
    WAITS = "waits"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Step:
    """`at_ms` is None where no record tells the time; `note` says so, or more."""

    name: str
    at_ms: float | None
    note: str = ""


@dataclass(slots=True)
class Life:
    """Everything that is known of one frame. `complete`: the outcomes were read as far as they were wanted."""

    frame: FrameFound
    findings: Findings
    batch: BatchFound | None
    positions: Positions
    delays_ms: tuple[int, ...]
    complete: bool = True
    searched_until_us: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def place(self) -> Coordinates:
        return self.frame.place

    @property
    def frame_id(self) -> str | None:
        """By the frame itself, or by its first label."""
        if self.frame.frame is not None:
            return self.frame.frame.frame_id
        return self.findings.labels[0].label.frame_id if self.findings.labels else None

    @property
    def captured_us(self) -> int | None:
        if self.frame.frame is not None:
            return self.frame.frame.captured_at
        return self.findings.labels[0].label.captured_at if self.findings.labels else None


def verdict(life: Life) -> tuple[State, str]:
    """Where the frame is, and a sentence of it."""
    findings = life.findings
    if findings.labels:
        return State.LABELLED, _labelled(findings.labels[-1].label, life.captured_us)
    waits = _waits(life)
    letter = findings.dead[-1] if findings.dead else None
    if letter is not None and not (letter.redriven and waits):
        redriven = "; it was sent through again, and there is no outcome of that" if letter.redriven else ""
        return State.DEAD, f"dead letter: {letter.failure.error_class} ({letter.failure.stage}){redriven}"
    if waits:
        return State.WAITS, waits
    if not life.complete:
        return State.UNKNOWN, "no outcome was found before the time was over: raise --timeout, or name --from and --to"
    if life.positions.unknown:
        return State.UNKNOWN, f"no outcome, and it is not known {'; '.join(life.positions.unknown.values())}"
    if life.frame.record is None:
        return State.UNKNOWN, "the frame is gone, and no outcome was found in the time that was searched"
    return State.MISSING, "no outcome, and no stage has the frame: `sightline redrive --missing` sends it again"


def _labelled(label: Label, captured_us: int | None) -> str:
    best = label.predictions[0] if label.predictions else None
    name = "without a prediction" if best is None else f"{best.name} ({best.probability:.1%})"
    reason = f" ({label.reason})" if label.reason else ""
    after = "" if captured_us is None else f", {took_text((label.labelled_at - captured_us) / 1000)} after the capture"
    return f"labelled {name}, {label.decision.lower()}{reason}, {BY[label.origin]}{after}"


def _waits(life: Life) -> str:
    """Which stage has still to finish it; empty where none has."""
    positions, batch = life.positions, life.batch
    retry = life.findings.retries[-1] if life.findings.retries else None
    if retry is not None and positions.before("retry", retry.at) is not None:
        if retry.failure.error_class == DEFERRED:
            return "waits until the decoder has room: pictures of its source take it long"
        due_ms = retry.written_ms + _delay_ms(life.delays_ms, retry.failure.attempt)
        return f"waits in {retry.at} for attempt {retry.failure.attempt}, from {iso(due_ms)} on"
    if batch is not None and (before := positions.before("infer", batch.at)) is not None:
        which = f"frame {batch.index + 1} of {batch.frames}"
        return f"waits in micro-batch {batch.at} ({which}): the workers have {before:,} micro-batches before it"
    before = positions.before("stream", life.place, life.frame.log_start)
    if life.frame.record is None or before is None:
        return ""
    away = f"is {before:,} frames away" if before else "has it next, or in hand"
    return f"waits in {life.place.topic}: the stream stage {away}"


def steps(life: Life) -> list[Step]:
    """The way of the frame in the order of the pipeline; an unknown time stands in its place and is said so."""
    found = [*_arrival(life.frame)]
    batch, labels = life.batch, life.findings.labels
    if batch is not None:
        which = (
            f"frame {batch.index + 1} of {batch.frames} in {batch.at}, {batch.width}x{batch.height} {batch.encoding}"
        )
        found.append(Step("prepared and batched", batch.written_ms, which))
    elif labels and labels[0].label.origin is Origin.MODEL:
        found.append(Step("prepared and batched", None, "its micro-batch was not found"))
    later = [
        _failed("deferred" if each.failure.error_class == DEFERRED else "attempt failed", each)
        for each in life.findings.retries
    ]
    later += [_failed("dead letter", each) for each in life.findings.dead]
    for number, each in enumerate(labels):
        model = each.label.model
        by = f"model {model.name} {model.version}" if each.label.origin is Origin.MODEL else BY[each.label.origin]
        later.append(
            Step(
                "run and labelled" if each.label.origin is Origin.MODEL else "labelled",
                each.label.labelled_at / 1000,
                by,
            )
        )
        later.append(Step("label written" if not number else "label written again", each.written_ms, str(each.at)))
    # The times of records are cut to whole milliseconds, those of labels are not.
    return found + sorted(later, key=lambda step: int(step.at_ms or 0))


def _arrival(found: FrameFound) -> Iterator[Step]:
    frame, record = found.frame, found.record
    if record is None:
        yield Step("captured, received, written", None, found.fault)
        return
    if frame is None:
        yield Step("written", record.timestamp_ms, f"no frame of ours: {found.fault}")
        return
    yield Step("captured", frame.captured_at / 1000, "by the clock of the source")
    yield Step("received", frame.received_at / 1000, "by its producer")
    sent_ms = clock_of(frame.captured_at, record.timestamp_ms)
    note = "the capture time is not credible: the record has the time of sending" if sent_ms else "no record tells when"
    yield Step("written", sent_ms, f"to {found.place}; {note}")
    yield Step("read", None, "no record tells when the stream stage read it")


def _failed(name: str, found: FailureFound) -> Step:
    failure = found.failure
    redriven = ", sent through again" if found.redriven else ""
    why = f"{failure.error_class} ({failure.stage}): {failure.message}" if failure.message else failure.error_class
    return Step(name, found.written_ms, f"{why}; {found.at}{redriven}")


def took_ms(steps: list[Step]) -> list[float | None]:
    """How long after the last known step each one came; the time of a record is cut to the whole millisecond."""
    before: float | None = None
    found: list[float | None] = []
    for step in steps:
        took = None if step.at_ms is None or before is None else step.at_ms - before
        found.append(0.0 if took is not None and -1 < took < 0 else took)
        before = before if step.at_ms is None else step.at_ms
    return found


def took_text(milliseconds: float) -> str:
    """`87 ms`, `2.3 s`, `4 min`; negative where the clocks of two machines differ."""
    size = abs(milliseconds)
    if size < 1_000:
        return f"{milliseconds:.0f} ms"
    if size < 120_000:
        return f"{milliseconds / 1_000:.1f} s"
    return f"{milliseconds / 60_000:.0f} min" if size < 7_200_000 else f"{milliseconds / 3_600_000:.1f} h"


def _delay_ms(delays_ms: tuple[int, ...], attempt: int) -> int:
    return delays_ms[min(max(attempt, 1), len(delays_ms)) - 1] if delays_ms else 0


def iso(milliseconds: float) -> str:
    """ISO 8601 in UTC."""
    return micros_to_iso(round(milliseconds * 1000))
