"""Draws `live_table.svg`, the live table of `sightline demo`: `python -m docs.pictures.live_table` writes it.

The table is the demo's own (`sinks/demo/view.py`), fed with the figures that half a minute of `make demo` gave on two
shared cores. A unit test compares the file with what this gives, so that the picture changes with the view.
"""

import io
import re
from bisect import bisect_left
from pathlib import Path

from rich.console import Console

from infra.lag.rules.bottleneck import Bottleneck
from schemas.coordinates import Coordinates
from schemas.records import Decision, Label, ModelRef, Origin, Prediction, Quality
from sinks.demo.stats import DemoStats
from sinks.demo.view import live_picture

SVG = Path(__file__).with_suffix(".svg")
COLUMNS = 104

FRAMES, CACHED, SECONDS, BEFORE_S, BEFORE = 611, 277, 30.0, 25.0, 513
# The share of labels that took at most so many milliseconds.
LATENCIES = ((0.0, 45.0), (0.5, 82.0), (0.95, 127.0), (0.99, 147.0), (1.0, 190.0))
CAMERAS = {
    "sim-camera": ("tripod", 0.97),
    "sim-coffee": ("espresso", 0.95),
    "sim-flower": ("daisy", 0.23),
    "sim-mix": ("Egyptian cat", 0.43),
}
MIN_PROBABILITY = 0.35
HINT = "efficientnet-lite0 · Kafka 127.0.0.1:19092 · Ctrl-C ends · `sightline subscribe` shows every label"


def latency_ms(share: float) -> float:
    """Between the points of LATENCIES on a straight line."""
    shares = [point[0] for point in LATENCIES]
    above = max(1, bisect_left(shares, share))
    (left, low), (right, high) = LATENCIES[above - 1], LATENCIES[above]
    return low + (high - low) * (share - left) / (right - left)


def label(index: int) -> Label:
    """The label of frame number `index`: cameras in turn, latencies and cache hits spread evenly."""
    source_id = list(CAMERAS)[index % len(CAMERAS)]
    name, probability = CAMERAS[source_id]
    captured_at = index * round(SECONDS / FRAMES * 1e6)
    took_ms = latency_ms((index * 101 % FRAMES + 1) / FRAMES)
    return Label(
        frame_id=f"{source_id}/0/{index}",
        source_id=source_id,
        captured_at=captured_at,
        labelled_at=captured_at + round(took_ms * 1000),
        decision=Decision.ACCEPTED if probability >= MIN_PROBABILITY else Decision.REVIEW,
        reason=None,
        predictions=(Prediction("0", name, probability),),
        origin=Origin.CACHE_EXACT if index * CACHED % FRAMES < CACHED else Origin.MODEL,
        model=ModelRef("efficientnet-lite0", "1", "none"),
        quality=Quality(100.0, 120.0, 50.0),
        source=Coordinates("frames.raw", 0, index),
    )


def stats() -> DemoStats:
    """What the demo knew at the end of its run."""
    made = DemoStats()
    for index in range(FRAMES):
        if index == BEFORE:
            made.tick(BEFORE_S, BEFORE, dict.fromkeys(CAMERAS, BEFORE // len(CAMERAS)))
        made.label(label(index))
    made.verdict(Bottleneck("none", ""))
    made.tick(SECONDS, FRAMES, dict.fromkeys(CAMERAS, FRAMES // len(CAMERAS) + 1))
    return made


def live_table() -> str:
    """The picture. Fonts are the reader's: rich's own template would fetch one from the network."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(live_picture(stats(), SECONDS, HINT))
    console.print()  # the last line would touch the lower edge
    svg = console.export_svg(title="make demo", unique_id="sightline")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


if __name__ == "__main__":
    SVG.write_text(live_table())
