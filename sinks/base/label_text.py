"""A label as one line: JSON for programs, columns for people. Pure."""

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.text import Text

from infra.process.text import printable
from schemas.records import Decision, Label, Micros, Origin, micros_to_iso

TIME_WIDTH, PROBABILITY_WIDTH, LATENCY_WIDTH = 12, 6, 9
ORIGIN_NAMES = {Origin.MODEL: "model", Origin.CACHE_EXACT: "cache", Origin.CACHE_NEAR: "cache~"}
ORIGIN_WIDTH = 6


def label_fields(label: Label, topic: str, partition: int, offset: int) -> dict[str, Any]:
    """The contract of `subscribe`: Avro's fields by name, times in ISO 8601, and where the label itself lies."""
    fields = asdict(label)
    fields["captured_at"] = micros_to_iso(label.captured_at)
    fields["labelled_at"] = micros_to_iso(label.labelled_at)
    return {**fields, "topic": topic, "partition": partition, "offset": offset}


def json_line(label: Label, topic: str, partition: int, offset: int) -> str:
    """In ASCII, so that no terminal finds anything to obey; a number that is none, which JSON cannot hold, is null."""
    fields = label_fields(label, topic, partition, offset)
    try:
        return json.dumps(fields, allow_nan=False, separators=(",", ":"))
    except ValueError:
        finite = json.loads(json.dumps(fields), parse_constant=lambda _name: None)
        return json.dumps(finite, separators=(",", ":"))


class Columns:
    """Lines whose columns stay in place for ever, within `width` characters; a table cannot be drawn without an end."""

    def __init__(self, width: int) -> None:
        fixed = TIME_WIDTH + PROBABILITY_WIDTH + ORIGIN_WIDTH + LATENCY_WIDTH + 5 * 2
        flexible = max(24, min(width, 140) - fixed - len("accepted") - 2)
        self._source_width = max(8, flexible * 2 // 5)
        self._name_width = flexible - self._source_width

    def header(self) -> Text:
        return Text(self._line("captured", "source", "label", "prob.", "decision", "by", "latency"), style="bold")

    def line(self, label: Label) -> Text:
        best = label.predictions[0] if label.predictions else None
        text = self._line(
            clock_text(label.captured_at),
            label.source_id,
            best.name if best else "-",
            f"{best.probability:.1%}" if best else "-",
            label.decision.lower(),
            ORIGIN_NAMES[label.origin],
            latency_text((label.labelled_at - label.captured_at) / 1000),
        )
        line = Text(text)
        line.stylize("dim", 0, TIME_WIDTH)
        style = "green" if label.decision is Decision.ACCEPTED else "yellow"
        name_at = TIME_WIDTH + 2 + self._source_width + 2
        line.stylize(style, name_at, name_at + self._name_width + 2 + PROBABILITY_WIDTH + 2 + len("accepted"))
        return line

    def _line(
        self, time: str, source: str, name: str, probability: str, decision: str, origin: str, latency: str
    ) -> str:
        return "  ".join(
            [
                f"{time:<{TIME_WIDTH}}",
                f"{_fit(source, self._source_width):<{self._source_width}}",
                f"{_fit(name, self._name_width):<{self._name_width}}",
                f"{probability:>{PROBABILITY_WIDTH}}",
                f"{decision:<8}",
                f"{origin:<{ORIGIN_WIDTH}}",
                f"{latency:>{LATENCY_WIDTH}}",
            ]
        )


def clock_text(micros: Micros) -> str:
    """Hours to milliseconds of the local day; of a time that no calendar has, as much of its number as fits."""
    try:
        local = datetime.fromtimestamp(micros // 1_000_000)
    except (ValueError, OverflowError, OSError):  # which of them is up to the platform
        return _fit(str(micros), TIME_WIDTH)
    return local.strftime("%H:%M:%S.") + f"{micros // 1000 % 1000:03d}"


def latency_text(milliseconds: float) -> str:
    """`87 ms`, `2.3 s`, `4 min`, `3 h`: as much as a person takes in."""
    if milliseconds < 1_000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1_000
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3600:.0f} h"


def _fit(text: str, width: int) -> str:
    clean = printable(text)
    return clean if len(clean) <= width else clean[: width - 1] + "…"
