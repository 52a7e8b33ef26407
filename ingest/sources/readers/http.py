"""HTTP addresses: the first answer decides between a polled snapshot, motion JPEG, and FFmpeg (HLS and others)."""

from collections.abc import Iterator
from itertools import chain
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx2

from ingest.sources.readers.base import CapturedImage, FrameReader, ImageRefused, Pace, SourceFault
from ingest.sources.readers.mjpeg import MotionJpegStream, is_motion_jpeg
from ingest.sources.task import CaptureTask

HEAD_BYTES = 16


def open_http(task: CaptureTask) -> FrameReader:
    """A snapshot camera where the address answers with an image, motion JPEG, or a stream that FFmpeg opens."""
    client, url = _client(task)
    answer = _ask(client, url)
    content_type = answer.headers.get("content-type", "")
    try:
        chunks = answer.iter_bytes()
        head = _head(chunks)
    except httpx2.HTTPError as error:
        raise SourceFault(_describe(error)) from error
    if is_motion_jpeg(content_type, head, "content-length" in answer.headers):
        body = chain((head,), chunks)
        return MotionJpegStream(content_type, body, lambda: _ask(client, url).iter_bytes(), task)
    answer.close()
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith("image/"):
        return SnapshotCamera(client, url, task)
    client.close()
    if kind in ("text/html", "application/json"):
        raise SourceFault(f"it answers with {kind}, which is neither an image nor a stream")
    from ingest.sources.readers.video import open_stream

    return open_stream(task)


class SnapshotCamera:
    """One GET for each frame, at the requested rate; the bytes are published unchanged."""

    paced = True
    skipped = 0
    damaged = 0
    replaced = 0

    def __init__(self, client: httpx2.Client, url: str, task: CaptureTask) -> None:
        self._client, self._url = client, url
        self._fps, self._max_bytes = task.fps, task.max_image_bytes
        self.expected_per_s = task.fps
        self._tick = -1
        self._pace = Pace(shifts=False)

    def grab(self) -> float | None:
        self._tick += 1
        late_s = self._pace.wait_until(self._tick / self._fps)
        self._tick += int(late_s * self._fps)
        return self._tick / self._fps

    def retrieve(self) -> CapturedImage | None:
        body = bytearray()
        try:
            with self._client.stream("GET", self._url) as answer:
                _check(answer)
                for chunk in answer.iter_bytes():
                    body += chunk
                    if len(body) > self._max_bytes:
                        raise ImageRefused(
                            "too_large", "snapshot", f"over {len(body)} bytes, the limit is {self._max_bytes}"
                        )
        except httpx2.HTTPError as error:
            raise SourceFault(_describe(error)) from error
        return CapturedImage(data=bytes(body))


def _ask(client: httpx2.Client, url: str) -> httpx2.Response:
    """An answer whose body is still to be read."""
    try:
        answer = client.send(client.build_request("GET", url), stream=True)
    except httpx2.HTTPError as error:
        raise SourceFault(_describe(error)) from error
    try:
        _check(answer)
    except SourceFault:
        answer.close()
        raise
    return answer


def _head(chunks: Iterator[bytes]) -> bytes:
    """The first bytes of a body, enough to tell what it is."""
    head = b""
    while len(head.strip()) < HEAD_BYTES and (chunk := next(chunks, None)) is not None:
        head += chunk
    return head


def _client(task: CaptureTask) -> tuple[httpx2.Client, str]:
    """Credentials move from the address to the client: httpx2 then drops them on a redirect to another host."""
    parts = urlsplit(task.address)
    host = parts.netloc.rpartition("@")[2]
    url = urlunsplit(parts._replace(netloc=host))
    timeout = httpx2.Timeout(task.read_timeout_ms / 1000, connect=task.open_timeout_ms / 1000)
    auth: httpx2.Auth | None = None
    if parts.username is not None:
        user, password = unquote(parts.username), unquote(parts.password or "")
        auth = _auth(url, user, password, timeout)
    return httpx2.Client(timeout=timeout, follow_redirects=True, auth=auth), url


def _auth(url: str, user: str, password: str, timeout: httpx2.Timeout) -> httpx2.Auth:
    """Basic or digest authentication, as the camera asks for."""
    try:
        with httpx2.stream("GET", url, timeout=timeout) as answer:
            asked = answer.headers.get("www-authenticate", "")
    except httpx2.HTTPError as error:
        raise SourceFault(_describe(error)) from error
    return httpx2.DigestAuth(user, password) if asked.lower().startswith("digest") else httpx2.BasicAuth(user, password)


def _check(answer: httpx2.Response) -> None:
    if not answer.is_success:
        raise SourceFault(f"it answers HTTP {answer.status_code} {answer.reason_phrase}")


def _describe(error: httpx2.HTTPError) -> str:
    text = str(error) or type(error).__name__
    return "it does not answer in time" if isinstance(error, httpx2.TimeoutException) else f"it does not answer: {text}"
