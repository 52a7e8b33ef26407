"""Camera specs for tests: short back-offs and time-outs, images of at most a MiB."""

from infra.settings import CameraSettings
from ingest.camera.spec import CameraSpec, camera_spec

MAX_IMAGE_BYTES = 1 << 20
PATIENCE_S = 60.0
SETTINGS = CameraSettings(backoff_initial_ms=200, backoff_max_ms=500, open_timeout_ms=3_000, read_timeout_ms=3_000)


def spec_of(source: str, fps: float = 5, settings: CameraSettings = SETTINGS, **keys: object) -> CameraSpec:
    return camera_spec({"id": "cam", "source": source, "fps": fps, **keys}, settings, {})
