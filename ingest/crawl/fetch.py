"""One request of a crawl, bounded in bytes and time. Redirects are not followed here: they are URLs of their own."""

import asyncio
import datetime
import email.utils
import re
from dataclasses import dataclass

import aiohttp

from infra.net.session import refusal_of
from ingest.crawl.content import Damaged, Inflater, TooLarge

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PIECE_BYTES = 64 * 1024
MAX_RETRY_AFTER_S = 3600.0
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w-]{1,32})", re.IGNORECASE)


class FetchError(Exception):
    """No answer that can be used. `is_refusal`: the crawler did not ask or did not read on; else the server failed.

    `again`: another attempt may succeed, after `retry_after_s` where the server said so.
    """

    def __init__(
        self, reason: str, *, is_refusal: bool = False, again: bool = False, retry_after_s: float | None = None
    ) -> None:
        self.reason, self.is_refusal, self.again, self.retry_after_s = reason, is_refusal, again, retry_after_s
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is decompressed, and empty for a redirect or a 304. `charset`: that of the Content-Type."""

    status: int
    body: bytes = b""
    location: str = ""
    charset: str | None = None
    etag: str | None = None
    modified: str | None = None


async def fetch(
    session: aiohttp.ClientSession,
    url: str,
    max_bytes: int,
    etag: str | None = None,
    modified: str | None = None,
    *,
    cut: bool = False,
) -> Answer:
    """Request the URL once. A body of more than `max_bytes` is refused, or with `cut` read up to there.

    Raises FetchError for every answer but 2xx, 304 and a redirect, and for none.
    """
    headers = {"Accept-Encoding": "gzip, deflate"}
    headers |= {"If-None-Match": etag} if etag else {}
    headers |= {"If-Modified-Since": modified} if modified else {}
    try:
        async with session.get(url, headers=headers, allow_redirects=False) as response:
            try:
                return await _read(response, max_bytes, cut)
            except BaseException:
                response.close()  # the rest of the body is not waited for
                raise
    except TooLarge:
        raise FetchError("too_large", is_refusal=True) from None
    except Damaged:
        raise FetchError("damaged") from None
    except TimeoutError:
        raise FetchError("timeout", again=True) from None
    except (aiohttp.InvalidURL, ValueError):
        raise FetchError("bad_url", is_refusal=True) from None
    except aiohttp.ClientError as error:
        raise _failed(error) from error
    except OSError as error:
        raise FetchError("connection", again=True) from error


def _failed(error: aiohttp.ClientError) -> FetchError:
    refusal = refusal_of(error)
    if refusal is not None:
        return FetchError(refusal.reason, is_refusal=True)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return FetchError("no_such_host", again=True)
    if isinstance(error, aiohttp.ClientSSLError):
        return FetchError("tls")
    if isinstance(error, aiohttp.ClientPayloadError):
        return FetchError("cut_off", again=True)
    return FetchError("bad_answer" if isinstance(error, aiohttp.ClientResponseError) else "connection", again=True)


async def _read(response: aiohttp.ClientResponse, max_bytes: int, cut: bool) -> Answer:
    status, headers = response.status, response.headers
    if status == 304:
        return Answer(status)
    if status in REDIRECTS:
        return Answer(status, location=headers.get("Location", ""))
    if not 200 <= status < 300:
        again = status in (408, 425, 429) or status >= 500
        raise FetchError(f"http_{status}", again=again, retry_after_s=_retry_after_s(headers.get("Retry-After")))
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise FetchError("content_encoding")
    if not cut and (response.content_length or 0) > max_bytes:
        raise TooLarge
    charset = _CHARSET.search(headers.get("Content-Type", ""))
    return Answer(
        status,
        await _body(response, max_bytes, encoding in ("gzip", "x-gzip", "deflate"), cut),
        charset=charset[1] if charset else None,
        etag=_kept(headers.get("ETag")),
        modified=_kept(headers.get("Last-Modified")),
    )


async def _body(response: aiohttp.ClientResponse, max_bytes: int, compressed: bool, cut: bool) -> bytes:
    body = bytearray()
    inflater = Inflater(max_bytes) if compressed else None
    async for piece in response.content.iter_chunked(_PIECE_BYTES):
        try:
            body += inflater.feed(piece) if inflater else piece
        except TooLarge:
            if not cut:
                raise
            return bytes(body)
        if len(body) > max_bytes:
            if not cut:
                raise TooLarge
            return bytes(body[:max_bytes])
        await asyncio.sleep(0)  # an endless body that is always there must not keep the loop
    if inflater is not None:
        inflater.end()
    return bytes(body)


def _kept(value: str | None) -> str | None:
    return value if value and len(value) <= 256 and value.isprintable() else None


def _retry_after_s(value: str | None) -> float | None:
    """Seconds, or a date of HTTP; up to MAX_RETRY_AFTER_S."""
    if not value:
        return None
    if re.fullmatch(r"\d{1,9}", value.strip()):
        return min(float(value), MAX_RETRY_AFTER_S)
    try:
        at = email.utils.parsedate_to_datetime(value)
        left_s = (at - datetime.datetime.now(datetime.UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(0.0, left_s), MAX_RETRY_AFTER_S)
