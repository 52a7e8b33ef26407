"""The HTTP client of one camera, and every way in which an answer is none, as a PictureMissed with its reason."""

import email.utils
import os
import ssl
import time
from collections.abc import Generator, Iterator

import httpx2

from ingest.sources.connection import (
    CERTIFICATE_HINT,
    ConnectionFault,
    PinnedContext,
    credentials,
    proxy_of,
    tls_context,
    uses_tls,
    without_credentials,
)
from ingest.sources.readers.base import PictureMissed, SourceFault
from ingest.sources.readers.http_transport import AnswerBody, CameraTransport
from ingest.sources.task import CaptureTask

BUSY = (429, 503)
UNAUTHORISED = (401, 403, 407)
MAX_REDIRECTS = 8
# A camera may ask to be left alone for so long, and no longer.
MAX_WAIT_S = 600.0


class CameraClient:
    """Asks one address. It keeps its connection, follows redirects, and gives credentials to its own host only.

    Nothing of the environment applies, unless the settings of the camera say so. Raises SourceFault where it cannot be
    made.
    """

    def __init__(self, task: CaptureTask) -> None:
        self.url = without_credentials(task.address)
        self._read_s, connect_s = task.read_timeout_ms / 1000, task.open_timeout_ms / 1000
        # Connecting, then sending and the first byte, then the last piece of a picture that came too slowly; a camera
        # that asks for credentials is asked twice.
        self.patience_s = connect_s + 3 * self._read_s
        self._connect_s = connect_s
        given = credentials(task.address, task.connection)
        self._auth = CameraAuth(*given) if given else None
        self._pinned_file = task.connection.ca_file if task.connection.tls_verify else ""
        try:
            self._proxy = proxy_of(self.url, task.connection, os.environ)
            self._client = self._new_client(_tls_context(task))
        except ConnectionFault as fault:
            raise SourceFault(f"its connection {fault}") from fault

    def _new_client(self, context: ssl.SSLContext) -> httpx2.Client:
        return httpx2.Client(
            timeout=httpx2.Timeout(self._read_s, connect=self._connect_s),
            follow_redirects=True,
            max_redirects=MAX_REDIRECTS,
            auth=self._auth,
            headers={"Accept-Encoding": "identity"},
            transport=CameraTransport(context, self._proxy),
            trust_env=False,
        )

    def ask(self) -> "Answer":
        """The answer to one GET, to be closed by the caller. Raises PictureMissed; SourceFault where none can come."""
        try:
            response = self._send()
        except httpx2.HTTPError as error:
            raise _missed(error) from error
        except (httpx2.InvalidURL, httpx2.CookieConflict) as error:
            raise SourceFault(f"its address cannot be used: {error}") from error
        except ConnectionFault as fault:
            raise SourceFault(f"its connection {fault}") from fault
        answer = Answer(response, time.monotonic() + self._read_s)
        try:
            _check(response)
        except PictureMissed:
            answer.close()
            raise
        return answer

    def _send(self) -> httpx2.Response:
        """A camera may have dropped the kept connection in the meantime: then it is asked at once over a new one."""
        try:
            return self._get()
        except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError):
            return self._get()
        except httpx2.ConnectError as error:
            if not self._pinned_file or "mismatch" not in str(error):
                raise
        # Its certificate is good and for another name: from now on it must be one of those in `ca_file` itself.
        self._client.close()
        self._client, self._pinned_file = self._new_client(PinnedContext.of(self._pinned_file)), ""
        return self._get()

    def _get(self) -> httpx2.Response:
        return self._client.send(self._client.build_request("GET", self.url), stream=True)

    def close(self) -> None:
        self._client.close()


class Answer:
    """An answer with status 2xx, whose body is still to be read. As a context manager it is closed at the end."""

    def __init__(self, response: httpx2.Response, until_s: float) -> None:
        self._response, self._until_s = response, until_s
        self.content_type = response.headers.get("content-type", "")
        self.declared_type = self.content_type.partition(";")[0].strip().lower()
        self._body: AnswerBody = response.extensions["body"]
        self.length = self._body.length

    def __enter__(self) -> "Answer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._response.close()

    def check_time(self) -> None:
        """Raises PictureMissed where the picture takes too long, although some of it comes now and then."""
        if time.monotonic() > self._until_s:
            raise PictureMissed("slow", "its picture does not come in time (read_timeout_ms)")

    def expect_little_more(self) -> None:
        """What was asked for has come: nothing that the camera may still announce is waited for."""
        self._body.expect_little_more()

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes. Raises PictureMissed where it breaks off, or nothing comes for too long."""
        try:
            yield from self._response.iter_raw()
        except httpx2.HTTPError as error:
            raise _missed(error) from error


class CameraAuth(httpx2.Auth):
    """Digest or basic authentication, as the camera asks for it."""

    def __init__(self, user: str, password: str) -> None:
        self._user, self._password = user, password
        self._scheme: httpx2.Auth | None = None

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        if self._scheme is None:
            response = yield request
            if response.status_code != 401:
                return
            asked = " ".join(response.headers.get_list("www-authenticate")).lower()
            digest = "digest" in asked
            kind = httpx2.DigestAuth if digest else httpx2.BasicAuth
            self._scheme = kind(self._user, self._password)
        yield from self._scheme.auth_flow(request)


def _tls_context(task: CaptureTask) -> ssl.SSLContext:
    """Certificates that cannot be used are of no matter without TLS: then a redirect to HTTPS trusts nobody."""
    try:
        return tls_context(task.connection, os.environ)
    except ConnectionFault:
        if uses_tls(task.address):
            raise
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _check(response: httpx2.Response) -> None:
    status = response.status_code
    why = f"it answers HTTP {status} {response.reason_phrase}".rstrip()
    if status in BUSY:
        raise PictureMissed("busy", why, retry_after_s(response.headers.get("retry-after", "")))
    if status in UNAUTHORISED:
        raise PictureMissed("unauthorised", why)
    if response.is_redirect or 300 <= status < 400:
        raise PictureMissed("redirected", why)
    if status == 204:
        raise PictureMissed("empty", why)
    if not response.is_success:
        raise PictureMissed("http_status", why)


def retry_after_s(value: str) -> float:
    """Seconds of a Retry-After header, which is a number or a date; 0 where it is neither. At most MAX_WAIT_S."""
    try:
        text = value.strip()
        at_s = float(text) if text.isascii() and text.isdigit() else _seconds_until(text)
    except (ValueError, OverflowError):
        return 0.0
    return min(MAX_WAIT_S, max(0.0, at_s))


def _seconds_until(date: str) -> float:
    return email.utils.parsedate_to_datetime(date).timestamp() - time.time()


def _missed(error: httpx2.HTTPError) -> PictureMissed:
    text = str(error) or type(error).__name__
    if isinstance(error, httpx2.TimeoutException):
        setting = "open_timeout_ms" if isinstance(error, httpx2.ConnectTimeout) else "read_timeout_ms"
        return PictureMissed("slow", f"it does not answer in time ({setting})")
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return PictureMissed("certificate", f"its certificate cannot be verified: {text}; {CERTIFICATE_HINT}")
    if isinstance(error, httpx2.TooManyRedirects | httpx2.UnsupportedProtocol):
        return PictureMissed("redirected", f"it redirects without end or to where no picture can be: {text}")
    if isinstance(error, httpx2.ConnectError | httpx2.ProxyError):
        return PictureMissed("refused", f"it does not answer: {text}")
    if isinstance(error, httpx2.RemoteProtocolError):
        return PictureMissed("cut", f"its answer {text}")
    return PictureMissed("cut", f"its answer breaks off: {text}")
