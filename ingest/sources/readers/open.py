"""Which reader serves which kind of source. Capture processes only."""

from ingest.capture.wire import Task
from ingest.sources.parse import Kind
from ingest.sources.readers.base import FrameReader


def open_reader(task: Task) -> FrameReader:
    """Open the source. Raises SourceFault. Readers are imported one by one: a folder needs no OpenCV."""
    match Kind(task.kind):
        case Kind.STREAM:
            from ingest.sources.readers.video import open_stream

            return open_stream(task)
        case Kind.USB:
            from ingest.sources.readers.video import open_usb

            return open_usb(task)
        case Kind.VIDEO:
            from ingest.sources.readers.video import VideoFile

            return VideoFile(task)
        case Kind.IMAGES:
            from ingest.sources.readers.images import ImageFiles

            return ImageFiles(task)
        case Kind.HTTP:
            from ingest.sources.readers.http import open_http

            return open_http(task)
        case Kind.SIM:
            from ingest.sources.readers.sim import SimulatedCamera

            return SimulatedCamera(task)
