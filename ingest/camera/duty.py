"""Whether a camera is to be read now, and whether anybody is to be told that it is away."""

import time

from infra.process import camera_metrics
from ingest.camera.session_end import FeedState
from ingest.camera.spec import CameraSpec


def is_on_duty(spec: CameraSpec) -> bool:
    """Whether this is one of the hours in which the camera is read, by the local clock."""
    now = time.localtime()
    return spec.hours.include(now.tm_hour * 60 + now.tm_min)


def tell_up(spec: CameraSpec, state: FeedState, up: int) -> None:
    """Set `sightline_camera_up`. A camera that may be away has no series while it is, so that nobody is alerted."""
    if up or not (spec.expected_offline or state == FeedState.OFF):
        camera_metrics.CAMERA_UP.set(spec.source_id, up)
    else:
        camera_metrics.CAMERA_UP.forget(spec.source_id)
