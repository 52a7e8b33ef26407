"""Opens a source with the reader for its kind. Imported in capture processes only."""

from ingest.sources.parse import ReaderKind
from ingest.sources.readers.base import FrameReader
from ingest.sources.task import CaptureTask


def open_reader(task: CaptureTask) -> FrameReader:
    """Open the source. Raises SourceFault. Readers are imported only when needed: a folder needs no OpenCV."""
    match task.reader:
        case ReaderKind.STREAM:
            from ingest.sources.readers.video import open_stream

            return open_stream(task)
        case ReaderKind.USB:
            from ingest.sources.readers.video import open_usb

            return open_usb(task)
        case ReaderKind.VIDEO:
            from ingest.sources.readers.video import VideoFile

            return VideoFile(task)
        case ReaderKind.IMAGES:
            from ingest.sources.readers.images import ImageFiles

            return ImageFiles(task)
        case ReaderKind.HTTP:
            from ingest.sources.readers.http import open_http

            return open_http(task)
        case ReaderKind.SIM:
            from ingest.sources.readers.sim import SimulatedCamera

            return SimulatedCamera(task)
