"""The frame that a message of a capture process becomes."""

import time
from collections.abc import Mapping
from typing import Any

from ingest.camera.spec import CameraSpec
from ingest.publish.frame import OutgoingFrame
from schemas.records import Encoding, SourceKind


def outgoing_frame(
    spec: CameraSpec, epoch: int, meta: Mapping[str, Any], image: bytes, max_age_ms: int, *, live: bool
) -> OutgoingFrame:
    """`max_age_ms`: the frame is too old after so long; 0: never.

    `live`: the source cannot wait."""
    captured_at, name = int(meta["captured_at"]), str(meta["name"])
    return OutgoingFrame(
        source_id=spec.source_id,
        source_kind=SourceKind.CAMERA,
        stream_epoch=epoch,
        captured_at=captured_at,
        received_at=time.time_ns() // 1000,
        encoding=Encoding(meta["encoding"]),
        image=image,
        uri=spec.source.shown,
        attributes={"file": name} if name else {},
        expires_at=captured_at + max_age_ms * 1000 if max_age_ms else None,
        live=live,
    )
