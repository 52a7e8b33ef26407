"""The part of the metrics catalogue that only camera agents have. The rules of `metrics` hold here too."""

from prometheus_client import Counter, Gauge

from infra.process import metrics
from infra.process.own_gauge import OwnGauge
from infra.process.source_series import SourceGauge

CAMERA_UP = SourceGauge(Gauge("sightline_camera_up", "1 while frames arrive", ["source_id"]), metrics.SOURCE_LABEL, min)
CAMERA_RECONNECTS = Counter(
    "sightline_camera_reconnects_total",
    "captures opened again",
    ["source_id", "reason"],
)
CAMERA_TIME_JUMPS = Counter(
    "sightline_camera_time_jumps_total",
    "how often the time stamps of a stream jumped by more than 10 s; capture times do not go by them",
    ["source_id"],
)
CAMERA_FPS = SourceGauge(
    Gauge("sightline_camera_fps", "frames of the wanted rate that the camera gives a second", ["source_id"]),
    metrics.SOURCE_LABEL,
    sum,
)
CAMERA_EXPECTED_FPS = SourceGauge(
    Gauge("sightline_camera_expected_fps", "frames a second that the camera should give", ["source_id"]),
    metrics.SOURCE_LABEL,
    sum,
)
CAMERA_RECONNECTS_LAST_HOUR = SourceGauge(
    Gauge("sightline_camera_reconnects_last_hour", "captures opened again within the last hour", ["source_id"]),
    metrics.SOURCE_LABEL,
    max,
)
CAMERA_STALLS_LAST_HOUR = SourceGauge(
    Gauge(
        "sightline_camera_stalls_last_hour",
        "gaps of more than two frame periods, and two seconds, within the last hour",
        ["source_id"],
    ),
    metrics.SOURCE_LABEL,
    max,
)
CAMERA_QUALITY = SourceGauge(
    Gauge(
        "sightline_camera_connection_quality",
        "3 excellent, 2 fair, 1 poor, 0 unusable, by Frigate's rule",
        ["source_id"],
    ),
    metrics.SOURCE_LABEL,
    min,
)
CAMERAS_FILE_OK = OwnGauge("sightline_cameras_file_ok", "0 while cameras.toml has an edit that is wrong")


def forget_source(source_id: str) -> None:
    """End the series of a source which was removed, so that cameras that come and go do not add up."""
    present = (
        metrics.SOURCE_FPS,
        metrics.SOURCE_LAST_FRAME,
        metrics.SOURCE_LAST_CHANGE,
        CAMERA_UP,
        CAMERA_FPS,
        CAMERA_EXPECTED_FPS,
    )
    for gauge in (*present, CAMERA_RECONNECTS_LAST_HOUR, CAMERA_STALLS_LAST_HOUR, CAMERA_QUALITY):
        gauge.forget(source_id)
    counters = (metrics.FRAMES_CAPTURED, metrics.FRAMES_PUBLISHED, metrics.FRAMES_DROPPED, metrics.CLOCKS_ADJUSTED)
    for counter in (*counters, CAMERA_RECONNECTS, CAMERA_TIME_JUMPS):
        counter.remove_by_labels({"source_id": source_id})
    metrics.SOURCE_LABEL.forget(source_id)
