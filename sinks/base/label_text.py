"""A label as columns of text for people. Pure."""

from datetime import datetime

from rich.text import Text

from infra.process.text import printable
from schemas.records import Decision, Label, Micros, Origin

TIME_WIDTH, PROBABILITY_WIDTH, LATENCY_WIDTH = 12, 6, 9
ORIGIN_NAMES = {Origin.MODEL: "model", Origin.CACHE_EXACT: "cache", Origin.CACHE_NEAR: "cache~"}
# In place of the origin, of a label that was promoted from a replay.
CORRECTION_NAME = "replay"
ORIGIN_WIDTH = 6


class Columns:
    """Formats labels as lines with columns of fixed widths, together `width` characters wide.

    A table of rich needs all its rows before it can be drawn, and a stream of labels has no last row.
    """

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
            ORIGIN_NAMES[label.origin] if label.revision <= 0 else CORRECTION_NAME,
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
    """The local time of day with milliseconds. A time that no calendar has is shown as a number, cut to the width."""
    try:
        local = datetime.fromtimestamp(micros // 1_000_000)
    except (ValueError, OverflowError, OSError):  # the platform decides which of them is raised
        return _fit(str(micros), TIME_WIDTH)
    return local.strftime("%H:%M:%S.") + f"{micros // 1000 % 1000:03d}"


def latency_text(milliseconds: float) -> str:
    """`87 ms`, `2.3 s`, `4 min`, `3 h`: in the unit that suits its size."""
    if milliseconds < 1_000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1_000
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3600:.0f} h"


def _fit(text: str, width: int) -> str:
    clean = printable(text)
    return clean if len(clean) <= width else clean[: width - 1] + "…"
