"""A web site with traps, for the crawler: served by a thread of this process, or by tests/support/crawl_world.py.

Its pages are a tree; each has an image of its own, and every tenth has the bytes of another one.
"""

import asyncio
import contextlib
import gzip
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from PIL import Image

from ingest.crawl import local_site
from ingest.crawl.local_site import Handler

FANOUT = 10
# Each request to this host needs a connection of its own, and so a look-up of its name.
CLOSES = "rebinding.test"
HTML = "text/html"
# Where images and pages must never lead: redirects and links of the traps, by the reason of their refusal.
FORBIDDEN = {
    "/to/loopback": ("http://127.0.0.1:{trap}/private.jpg", "loopback"),
    "/to/metadata": ("http://169.254.169.254/latest/meta-data/a.jpg", "metadata"),
    "/to/mapped": ("http://[::ffff:10.0.0.1]/a.jpg", "private"),
    "/to/file": ("file:///etc/passwd", "scheme"),
    "/to/nat64": ("http://[64:ff9b::7f00:1]:{trap}/a.jpg", "loopback"),
}


def jpeg(number: int) -> bytes:
    """Images with different numbers have different bytes."""
    out = io.BytesIO()
    image = Image.new("RGB", (48, 48), (number % 256, number // 256 % 256, 90))
    image.putpixel((number % 48, number // 48 % 48), (255, 255, 255))
    image.save(out, "JPEG", comment=f"image {number}".encode())
    return out.getvalue()


@dataclass
class Site:
    """`routes` come before the site's own; `requests` counts them by path; `more` stands on its first page."""

    pages: int = 0
    trap: int = 9
    more: str = ""
    routes: dict[str, Handler] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    log: Path | None = None
    port: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests[request.path_qs] += 1
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{request.headers.get('Host')} {request.path_qs}\n")
        handler = self.routes.get(request.path) or self.routes.get(request.path.partition("/")[0] + "/*")
        if handler:
            return await handler(request)
        found = self.own(request)
        if request.host == CLOSES:
            found.force_close()
        return found

    def own(self, request: web.Request) -> web.Response:
        path = request.path
        if path in FORBIDDEN:
            return redirect(FORBIDDEN[path][0].format(trap=self.trap))
        if path == "/" and self.pages:
            return page(self.links(0) + self.traps())
        number = int(digits) if (digits := "".join(filter(str.isdigit, path))) else 0
        if path.startswith("/page/") and number < self.pages:
            return page(self.links(number))
        if path.startswith("/image/"):
            return image(number // 10 * 10 if number % 10 == 1 else number, request)
        return web.Response(status=404)

    def links(self, number: int) -> str:
        children = range(number * FANOUT + 1, min(number * FANOUT + FANOUT + 1, self.pages))
        links = "".join(f'<a href="/page/{child}">{child}</a>' for child in children)
        back = f"/page/{number // 2}" if number > 1 else "/"
        return f'{links}<img src="/image/{number}.jpg"><a href="{back}#top">back</a>'

    def traps(self) -> str:
        images = "".join(f'<img src="{path}"><img src="{to.format(trap=self.trap)}">'
                         for path, (to, _) in FORBIDDEN.items())  # fmt: skip
        return f'{images}<img src="data:image/gif;base64,AAAA"><a href="/missing">x</a>{self.more}'


def page(body: str) -> web.Response:
    return web.Response(body=f"<html><body>{body}</body></html>".encode(), content_type=HTML)


def image(number: int, request: web.Request | None = None) -> web.Response:
    """An image with an ETag, which answers a condition."""
    etag = f'"{number}"'
    if request is not None and request.headers.get("If-None-Match") == etag:
        return web.Response(status=304)
    return web.Response(body=jpeg(number), content_type="image/jpeg", headers={"ETag": etag})


def redirect(to: str) -> web.Response:
    return web.Response(status=302, headers={"Location": to})


def fixed(
    body: bytes | str, content_type: str = HTML, status: int = 200, headers: dict[str, str] | None = None
) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        data = body.encode() if isinstance(body, str) else body
        return web.Response(body=data, content_type=content_type, status=status, headers=headers)

    return handler


def moved(to: str) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        return redirect(to)

    return handler


async def endless(request: web.Request) -> web.StreamResponse:
    """A body without an end, as fast as it is read."""
    response = web.StreamResponse(headers={"Content-Type": HTML})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(b"<p>more</p>" * 1000)
    return response


async def a_byte_a_second(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": HTML})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(b"x")
            await asyncio.sleep(1)
    return response


def bomb(megabytes: int) -> bytes:
    return gzip.compress(b"<p>boom</p>" + bytes(megabytes << 20))


@contextlib.contextmanager
def serving(site: Site) -> Iterator[Site]:
    """The site on a free port of 127.0.0.1, in a thread."""
    with local_site.serving(site.answer) as site.port:
        yield site
