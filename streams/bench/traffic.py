"""Live traffic at a steady rate, and how long its labels took."""

import time
from collections.abc import Iterable, Sequence

from infra.kafka.publisher import Publisher
from infra.kafka.sender import OutRecord
from schemas import codec
from schemas.errors import SightlineError
from schemas.records import Label
from streams.bench import sample_frames
from streams.bench.testbed import Testbed

CLOSE_S = 30.0


def send_paced(bed: Testbed, jpegs: Sequence[bytes], per_s: float, count: int, sources: int, first: int = 0) -> None:
    """Send `count` frames, numbered from `first`, at `per_s` a second; returns when the broker has them."""
    publisher = Publisher(bed.settings)
    started_s = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, started_s + number / per_s - time.monotonic()))
        image = sample_frames.unique(jpegs[number % len(jpegs)], first + number)
        frame = sample_frames.frame(image, f"camera-{number % sources}", first + number)
        publisher.send(OutRecord(bed.topics.frames, frame.source_id, codec.encode(frame)))
    if left := publisher.close(CLOSE_S):
        raise SightlineError(f"{left} frames were not acknowledged within {CLOSE_S:g} s")


def latencies_ms(labels: Iterable[Label]) -> list[float]:
    """From the capture of each frame to its label, in the order of capture."""
    ordered = sorted(labels, key=lambda label: label.captured_at)
    return [(label.labelled_at - label.captured_at) / 1000 for label in ordered]
