"""The figures that the demo displays, counted from labels and dead letters. Pure; its memory is bounded."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from infra.audit.balance import Balance
from infra.lag.rules.bottleneck import Bottleneck
from schemas.records import Label, Origin
from sinks.demo.quantiles import LatencyHistogram

RATE_WINDOW_S = 5.0
# Further cameras are counted in the totals and not shown.
MAX_CAMERAS = 100
TOP = 10


@dataclass(slots=True)
class CameraStats:
    """One camera. `published` and `fps` come from the camera agent; `last` is the newest label by capture time."""

    labels: int = 0
    published: int = 0
    fps: float = 0.0
    last: Label | None = None


class Rate:
    """The mean number of events a second over the last RATE_WINDOW_S seconds, for events that arrive in batches."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque(maxlen=64)

    def mark(self, now_s: float, total: int) -> None:
        self._marks.append((now_s, total))
        while len(self._marks) > 2 and now_s - self._marks[1][0] >= RATE_WINDOW_S:
            self._marks.popleft()

    def per_s(self) -> float:
        if len(self._marks) < 2:
            return 0.0
        (first_s, first), (last_s, last) = self._marks[0], self._marks[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else 0.0


@dataclass(slots=True)
class DemoStats:
    cameras: dict[str, CameraStats] = field(default_factory=dict)
    labels: int = 0
    dead: int = 0
    frames: int = 0
    origins: Counter[Origin] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)
    latency: LatencyHistogram = field(default_factory=LatencyHistogram)
    labelled: Rate = field(default_factory=Rate)
    # None until the first verdict.
    bottleneck: Bottleneck | None = None
    _published: dict[str, Rate] = field(default_factory=dict)

    def label(self, label: Label) -> None:
        self.labels += 1
        self.origins[label.origin] += 1
        if label.predictions:
            self.names[label.predictions[0].name] += 1
        self.latency.add((label.labelled_at - label.captured_at) / 1000)
        camera = self.camera(label.source_id)
        if camera is not None:
            camera.labels += 1
            if camera.last is None or label.captured_at >= camera.last.captured_at:
                camera.last = label

    def verdict(self, found: Bottleneck) -> None:
        """What holds the pipeline back now."""
        self.bottleneck = found

    def dead_letter(self) -> None:
        self.dead += 1

    def tick(self, now_s: float, frames: int, published: dict[str, int]) -> None:
        """Called once a second. `frames`: the frames of this run on the topic. `published`: frames by source id."""
        self.frames = frames
        self.labelled.mark(now_s, self.labels + self.dead)
        for source_id, count in published.items():
            camera = self.camera(source_id)
            if camera is not None:
                rate = self._published.setdefault(source_id, Rate())
                rate.mark(now_s, count)
                camera.published, camera.fps = count, rate.per_s()

    def camera(self, source_id: str) -> CameraStats | None:
        """The figures of this camera; None for a new camera beyond MAX_CAMERAS."""
        if source_id not in self.cameras and len(self.cameras) >= MAX_CAMERAS:
            return None
        return self.cameras.setdefault(source_id, CameraStats())

    def lag(self) -> int:
        """The number of frames that have no outcome yet."""
        return max(0, self.frames - self.labels - self.dead)

    def cache_share(self) -> float:
        """The share of labels that came from the cache."""
        hits = self.origins[Origin.CACHE_EXACT] + self.origins[Origin.CACHE_NEAR]
        return hits / self.labels if self.labels else 0.0


def summary(stats: DemoStats, balance: Balance, seconds: float) -> dict[str, Any]:
    """The object that `demo --json` prints. Its keys are a contract. Without a label the latencies are null."""
    quantiles = {name: stats.latency.quantile_ms(share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
    return {
        "frames": balance.frames,
        "labels": balance.labels,
        "dead": balance.dead,
        "accounted": balance.ok,
        "frames_per_s": round(balance.frames / seconds, 2) if seconds > 0 else 0.0,
        "latency_ms": {name: None if value is None else round(value, 1) for name, value in quantiles.items()},
        "cache": {
            "exact": stats.origins[Origin.CACHE_EXACT],
            "near": stats.origins[Origin.CACHE_NEAR],
            "miss": stats.origins[Origin.MODEL],
        },
        "top": [{"name": name, "count": count} for name, count in stats.names.most_common(TOP)],
    }
