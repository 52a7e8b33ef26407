"""HTTP addresses: the bytes of the first answer decide what a source is, and not its name or content type."""

import time
from collections.abc import Iterator
from itertools import chain

from ingest.sources import answers
from ingest.sources.motion_jpeg_parser import MotionJpegParser
from ingest.sources.readers.base import FrameReader, PictureMissed, SourceFault
from ingest.sources.readers.http_client import Answer, CameraClient
from ingest.sources.readers.motion_jpeg_stream import MotionJpegStream, declared_boundary
from ingest.sources.readers.snapshot import MAX_UNAUTHORISED, SnapshotCamera, picture_of
from ingest.sources.task import CaptureTask

# Enough to recognise anything: three packets of a transport stream have 564 bytes.
HEAD_BYTES = 1024
MIN_TURN_S, MAX_TURN_S = 0.2, 1.0


def open_http(task: CaptureTask) -> FrameReader:
    """The reader for what the address gives. Raises SourceFault.

    A bad answer is asked for again until `open_timeout_ms` is over: a camera that is busy for a moment is not lost.
    """
    client = CameraClient(task)
    turn_s = min(MAX_TURN_S, max(MIN_TURN_S, 1 / task.fps))
    until_s = time.monotonic() + task.open_timeout_ms / 1000
    unauthorised = 0
    while True:
        try:
            return _open(client, task)
        except PictureMissed as missed:
            unauthorised = unauthorised + 1 if missed.reason == "unauthorised" else 0
            wait_s = max(turn_s, missed.wait_s)
            hopeless = missed.reason == "certificate" or unauthorised >= MAX_UNAUTHORISED
            if hopeless or time.monotonic() + wait_s > until_s:
                client.close()
                raise SourceFault(missed.why, missed.wait_s) from missed
            time.sleep(wait_s)


def _open(client: CameraClient, task: CaptureTask) -> FrameReader:
    answer = client.ask()
    stream, seen, body, is_open = answer.pieces(), list[bytes](), bytearray(), False
    pieces = _noting(stream, seen)
    try:
        for piece in pieces:
            body += piece
            if len(body) >= HEAD_BYTES:
                break
            answer.check_time()  # a body that trickles would use up the time for the next attempts
        head = bytes(body)
        if _may_be_snapshot(head, answer):
            if not _read_on(body, pieces, answer, task.max_image_bytes):
                reader = _open_motion_jpeg(client, task, answer, chain(seen, stream))
                is_open = True  # the reader goes on over this connection
                return reader
            too_large = len(body) > task.max_image_bytes  # the reader says so at each turn
            return SnapshotCamera(client, task, None if too_large else picture_of(answer, bytes(body)))
        if not _may_be_stream(head, answer):
            picture_of(answer, head)  # raises: it is a page, noise, or nothing
    finally:
        if not is_open:
            answer.close()
    return _open_ffmpeg(client, task, finite=answers.is_video(head) and answer.length is not None)


def _noting(pieces: Iterator[bytes], seen: list[bytes]) -> Iterator[bytes]:
    """The same pieces, each of them kept: a reader of the stream gets them again."""
    for piece in pieces:
        seen.append(piece)
        yield piece


def _may_be_snapshot(head: bytes, answer: Answer) -> bool:
    """Whether the body is a picture, wrapped or not, or a stream of pictures."""
    if answers.is_picture(head) or answers.is_wrapped(head) or head.lstrip().startswith(b"--"):
        return True
    if answer.declared_type.startswith("multipart/"):
        return True
    return answer.declared_type.startswith("image/") and not answers.page_type(head) and not answers.is_video(head)


def _may_be_stream(head: bytes, answer: Answer) -> bool:
    """Whether the body can be something that FFmpeg plays. What has a length and is no known video is none."""
    if answers.is_video(head) or answers.is_playlist(head):
        return True
    declared = answer.declared_type.startswith(("video/", "audio/")) or "mpegurl" in answer.declared_type
    return bool(head.strip()) and not answers.page_type(head) and (declared or answer.length is None)


def _read_on(body: bytearray, pieces: Iterator[bytes], answer: Answer, limit: int) -> bool:
    """Read the rest of a body; False as soon as it turns out to be a stream, which does not end.

    A stream that is slow does not go on before the time is over: one picture of it, in a part, has come by then.
    """
    parser = MotionJpegParser(declared_boundary(answer.content_type), limit)
    pictures, new = len(parser.feed(bytes(body))), len(body)
    try:
        while len(body) <= limit:
            is_stream = pictures > 1 or (pictures == 1 and parser.is_in_picture)
            if is_stream and (answer.length is None or answers.is_wrapped(bytes(body))):
                return False  # some streams declare a length that they never reach
            if _is_one_picture(body, new, answer):
                answer.expect_little_more()
            piece = next(pieces, None)
            if piece is None:
                return True
            body += piece
            new = len(piece)
            pictures += len(parser.feed(piece))
            answer.check_time()
    except PictureMissed as missed:
        if _is_one_picture(body, len(body), answer):
            return True
        start = body.find(answers.SOI)
        if missed.reason == "slow" and answer.length is None and _is_in_parts(body, answer) and start >= 0:
            return False
        raise
    return answer.length is not None or answers.is_picture(bytes(body))


def _is_in_parts(body: bytearray, answer: Answer) -> bool:
    return answers.is_wrapped(bytes(body)) or answer.declared_type.startswith("multipart/")


def _is_one_picture(body: bytearray, new: int, answer: Answer) -> bool:
    """Whether this is a whole picture, and nothing says that others follow. `new`: how many bytes just came."""
    is_video = answer.length is None and answer.declared_type.startswith("video/")
    return not is_video and answers.has_end(body, new) and not _is_in_parts(body, answer)


def _open_motion_jpeg(client: CameraClient, task: CaptureTask, answer: Answer, pieces: Iterator[bytes]) -> FrameReader:
    """A stream of JPEGs, in parts or one after the other: it goes on over the connection that it was recognised on."""
    return MotionJpegStream(answer.content_type, _chunks(pieces, task), lambda: _ask_again(client, task), task)


def _ask_again(client: CameraClient, task: CaptureTask) -> Iterator[bytes]:
    try:
        return _chunks(client.ask().pieces(), task)
    except PictureMissed as missed:
        raise SourceFault(missed.why, missed.wait_s) from missed


def _chunks(pieces: Iterator[bytes], task: CaptureTask) -> Iterator[bytes]:
    """The bytes of a stream, for which a miss is the end."""
    try:
        yield from pieces
    except PictureMissed as missed:
        silent = missed.reason == "slow"
        why = (
            f"no picture for {task.read_timeout_ms} ms (read_timeout_ms)"
            if silent
            else f"the stream broke off: {missed.why}"
        )
        raise SourceFault(why) from missed


def _open_ffmpeg(client: CameraClient, task: CaptureTask, finite: bool) -> FrameReader:
    """FFmpeg opens the address over a connection of its own: a finite file is one that has a length and ends there.

    A camera with room for one viewer refuses it until it has noticed that ours is gone.
    """
    client.close()
    from ingest.sources.readers.video import VideoFile, open_stream

    until_s = time.monotonic() + task.open_timeout_ms / 1000
    while True:
        try:
            return VideoFile(task) if finite else open_stream(task)
        except SourceFault:
            if time.monotonic() + MAX_TURN_S > until_s:
                raise
        time.sleep(MAX_TURN_S)
