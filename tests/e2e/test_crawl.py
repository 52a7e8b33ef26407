"""Crawls of a local site on real sockets, without Kafka: what is taken, refused and why, and asked again."""

import asyncio
import gzip
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from aiohttp import web

from ingest.crawl.frontier import Frontier
from ingest.crawl.local_site import Handler
from schemas.errors import ConfigError
from tests.support.crawl_site import (
    FORBIDDEN,
    Site,
    a_byte_a_second,
    bomb,
    endless,
    fixed,
    image,
    jpeg,
    moved,
    page,
    serving,
)
from tests.support.crawls import Crawl

IMAGE = '<img src="/image/7.jpg">'


@pytest.fixture
def crawl(tmp_path: Path) -> Iterator[Callable[..., Crawl]]:
    """`crawl({path: handler})`: a crawl of a site with these pages, which are gone at the end of the test."""
    with ExitStack() as sites:

        def start(routes: dict[str, Handler] | None = None, pages: int = 0) -> Crawl:
            return Crawl(sites.enter_context(serving(Site(pages, routes=routes or {}))), tmp_path / "crawl.sqlite")

        yield start


def test_every_page_and_every_image_once(crawl: Callable[..., Crawl]) -> None:
    one = crawl(pages=60)
    found = one.run()
    assert (found.pages, found.published, found.repeated) == (60, 54, 6)
    assert found.waiting == 0
    assert max(one.site.requests.values()) == 1
    assert len({url for url, _, _ in one.images}) == 54
    for url, where, host in one.images:
        assert host == "shop.test" and where.startswith(f"http://shop.test:{one.site.port}/"), url


def test_what_must_not_be_asked_is_refused_with_the_reason(crawl: Callable[..., Crawl]) -> None:
    found = crawl(pages=1).run(image_domains=["*"])
    reasons = [reason for _, reason in FORBIDDEN.values()]
    # `file:` as a link and as a redirect are one URL, and so are the others; `data:` is one more of them.
    assert found.refused["scheme"] == reasons.count("scheme") + 1
    for reason in ("loopback", "metadata", "private"):
        assert found.refused[reason] == reasons.count(reason)
    assert found.errors == {"http_404": 1}


TRAPS: dict[str, tuple[dict[str, Handler], str, str]] = {
    "a redirect to itself": ({"/x": moved("/x")}, "errors", "redirect_loop"),
    "a redirect in a circle": ({"/x": moved("/y"), "/y": moved("/z"), "/z": moved("/x")}, "errors", "redirect_loop"),
    "redirects without an end": (
        {"/x": moved("/x0"), **{f"/x{n}": moved(f"/x{n + 1}") for n in range(30)}}, "errors", "too_many_redirects"),
    "an endless body": ({"/x": endless}, "refused", "too_large"),
    "a byte a second": ({"/x": a_byte_a_second}, "errors", "timeout"),
    "a gzip bomb": ({"/x": fixed(bomb(60), headers={"Content-Encoding": "gzip"})}, "refused", "too_large"),
    "a gzip stream that is cut off": (
        {"/x": fixed(gzip.compress(b"<html>" * 999)[:-9], headers={"Content-Encoding": "gzip"})}, "errors", "damaged"),
    "an encoding that was not asked for": ({"/x": fixed("?", headers={"Content-Encoding": "br"})}, "errors",
                                           "content_encoding"),
    "bytes that are nothing": ({"/x": fixed(b"\x00\x01\x02" * 99, "image/jpeg")}, "refused", "no_page"),
    "an empty page": ({"/x": fixed("")}, "errors", "empty"),
    "SVG that says it is HTML": ({"/x": fixed("<svg xmlns='http://www.w3.org/2000/svg'><a/></svg>")}, "refused", "svg"),
    "a page that is not there": ({}, "errors", "http_404"),
    "a server that fails": ({"/x": fixed("no", status=500)}, "errors", "http_500"),
}  # fmt: skip


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_costs_one_url_and_the_rest_is_taken(name: str, crawl: Callable[..., Crawl]) -> None:
    routes, kind, reason = TRAPS[name]
    one = crawl({"/": fixed(f'<a href="/x">x</a>{IMAGE}<a href="/good">y</a>'), "/good": fixed("<p>fine"), **routes})
    found = one.run(max_page_bytes=2 << 20, max_image_bytes=2 << 20)
    assert getattr(found, kind) == {reason: 1}
    assert (found.pages, found.published, found.waiting) == (2, 1, 0)


def test_content_decides_and_not_the_content_type(crawl: Callable[..., Crawl]) -> None:
    routes = {
        "/": fixed('<a href="/a">a picture</a><img src="/b.jpg"><img src="/c.png"><img src="/d.svg">', "text/plain"),
        "/a": fixed(jpeg(1), "text/html"),
        "/b.jpg": fixed("<html>log in first</html>", "image/jpeg"),
        "/c.png": fixed(jpeg(2), "application/octet-stream"),
        "/d.svg": fixed("<?xml version='1.0'?><svg></svg>", "image/png"),
    }
    found = crawl(routes).run()
    assert (found.pages, found.published) == (1, 2)
    assert found.refused == {"no_image": 1, "svg": 1}


def test_a_page_with_ten_thousand_links_gives_as_many_as_are_allowed(crawl: Callable[..., Crawl]) -> None:
    links = "".join(f'<img src="/image/{n}.jpg">' for n in range(10_000))
    found = crawl({"/": fixed(links)}).run(max_links_per_page=50)
    assert found.refused == {"too_many_links": 9_950}
    assert found.images == 50


@pytest.mark.parametrize("charset", ["utf-8", "no-such-charset", "idna", "zip", "utf-16", "shift_jis"])
def test_pages_with_broken_encodings_are_read(charset: str, crawl: Callable[..., Crawl]) -> None:
    body = b'<html><head></head><body>\xff\xfe\x80\xc3<img src="/image/1.jpg">\x00\xed\xa0\x80</body></html>'
    if charset == "utf-16":
        body = '<html><body><img src="/image/1.jpg"></body></html>'.encode("utf-16")
    found = crawl({"/": declared(body, charset)}).run()
    assert (found.pages, found.published) == (1, 1)


def declared(body: bytes, charset: str) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(body=body, headers={"Content-Type": f"text/html; charset={charset}"})

    return handler


def sitemap(*urls: str, index: bool = False) -> str:
    outer, inner = ("sitemapindex", "sitemap") if index else ("urlset", "url")
    entries = "".join(f"<{inner}><loc>{url}</loc></{inner}>" for url in urls)
    return f'<?xml version="1.0"?><{outer} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{entries}</{outer}>'


def test_sitemaps_are_followed_through_indexes_and_gzip_and_one_that_names_itself(crawl: Callable[..., Crawl]) -> None:
    async def robots(request: web.Request) -> web.Response:
        return web.Response(text=f"Sitemap: http://{request.host}/maps.xml\n")

    async def maps(request: web.Request) -> web.Response:
        base = f"http://{request.host}"
        return web.Response(text=sitemap(f"{base}/maps.xml", f"{base}/a.xml.gz", f"{base}/bomb.xml.gz", index=True))

    async def packed(request: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(sitemap(f"http://{request.host}/page-of-the-map").encode()))

    routes = {"/": fixed("<p>nothing"), "/robots.txt": robots, "/maps.xml": maps, "/a.xml.gz": packed,
              "/bomb.xml.gz": fixed(bomb(60), "application/gzip"), "/page-of-the-map": fixed(IMAGE)}  # fmt: skip
    one = crawl(routes)
    found = one.run(max_sitemap_bytes=1 << 20)
    assert (found.pages, found.published) == (2, 1)
    assert found.refused == {"too_large": 1}
    assert one.site.requests["/maps.xml"] == 1


@pytest.mark.parametrize(
    "body", ["<urlset><url><loc>x", "<!DOCTYPE a [<!ENTITY b 'c'>]><urlset>&b;</urlset>", "<html>no", ""]
)
def test_a_sitemap_that_is_none_is_an_error(body: str, crawl: Callable[..., Crawl]) -> None:
    found = crawl({"/m.xml": fixed(body)}).run("/m.xml")
    assert found.errors == {"no_sitemap": 1}


def test_sitemaps_in_sitemaps_end_at_their_depth(crawl: Callable[..., Crawl]) -> None:
    async def deeper(request: web.Request) -> web.Response:
        number = int(request.path[2:-4]) + 1
        return web.Response(text=sitemap(f"http://{request.host}/m{number}.xml", index=True))

    one = crawl({f"/m{n}.xml": deeper for n in range(20)})
    assert one.run("/m0.xml", max_sitemap_depth=3).refused == {"too_deep": 1}
    assert one.site.requests["/m3.xml"] and not one.site.requests["/m4.xml"]


@pytest.mark.parametrize(
    ("robots", "pages", "refused"),
    [
        (fixed("User-agent: *\nDisallow: /good", "text/plain"), 1, {"robots": 1}),
        (fixed("User-agent: SightlineBot\nDisallow: /\nAllow: /$\n", "text/plain"), 1, {"robots": 2}),
        (fixed("gone", status=404), 2, {}),
        (fixed("no", status=403), 2, {}),
        (fixed("User-agent: *\nDisallow: /\n" + "#" * (600 << 10), "text/plain"), 0, {"robots": 1}),
        (fixed("#" * (501 << 10) + "\nUser-agent: *\nDisallow: /\n", "text/plain"), 2, {}),
        (moved("/other-robots"), 2, {}),
    ],
)
def test_robots_txt_is_kept_to(
    robots: Handler, pages: int, refused: dict[str, int], crawl: Callable[..., Crawl]
) -> None:
    one = crawl({"/": fixed(f'<a href="/good">y</a>{IMAGE}'), "/good": fixed("<p>fine"), "/robots.txt": robots})
    found = one.run()
    assert (found.pages, found.refused) == (pages, refused)
    assert one.site.requests["/robots.txt"] == 1


def test_a_site_whose_robots_txt_fails_is_left_alone(
    crawl: Callable[..., Crawl], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.crawl.robots._ATTEMPTS", 2)
    one = crawl({"/": fixed("<p>fine"), "/robots.txt": fixed("no", status=503)})
    assert one.run().refused == {"robots_unreachable": 1}
    assert one.site.requests == {"/robots.txt": 2}


def test_a_host_that_asks_for_a_pause_gets_it(crawl: Callable[..., Crawl]) -> None:
    times: list[float] = []

    async def busy(_request: web.Request) -> web.Response:
        times.append(asyncio.get_running_loop().time())
        return page("fine") if len(times) > 1 else web.Response(status=429, headers={"Retry-After": "1"})

    assert crawl({"/": busy}).run(max_attempts=2).pages == 1
    assert times[1] - times[0] >= 1.0


def test_a_crawl_delay_is_kept_also_by_the_first_requests(crawl: Callable[..., Crawl]) -> None:
    times: list[float] = []

    async def one_image(request: web.Request) -> web.Response:
        times.append(asyncio.get_running_loop().time())
        return image(len(times), request)

    routes = {"/": fixed("".join(f'<img src="/i{n}">' for n in range(3))), **{f"/i{n}": one_image for n in range(3)}}
    routes["/robots.txt"] = fixed("User-agent: *\nCrawl-delay: 0.4\n", "text/plain")
    assert crawl(routes).run().published == 3
    assert all(later - earlier >= 0.35 for earlier, later in itertools.pairwise(times))


def test_many_hosts_are_asked_at_once(crawl: Callable[..., Crawl]) -> None:
    now, most = 0, 0

    async def slow(request: web.Request) -> web.Response:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        await asyncio.sleep(0.2)
        now -= 1
        return image(int("".join(filter(str.isdigit, request.host.partition(":")[0]))))

    one = crawl({"/slow": slow})
    one.site.routes["/"] = fixed("".join(f'<img src="http://h{n}.test:{one.site.port}/slow">' for n in range(12)))
    assert one.run(max_connections_per_host=1).published == 12
    assert most >= 6


def test_limits_of_depth_domain_and_count(crawl: Callable[..., Crawl]) -> None:
    one = crawl(pages=300)
    found = one.run(max_depth=1, max_images=4)
    assert found.pages == 11
    assert found.refused["too_deep"] > 50
    assert sum(number for path, number in one.site.requests.items() if path.startswith("/image/")) <= 4
    assert found.refused["max_images"] > 0
    other = crawl({"/": fixed('<a href="http://other.test/">x</a><a href="http://a.shop.test:1/">y</a>')})
    other.state = other.state.with_name("other.sqlite")
    assert other.run(image_domains=["shop.test"]).refused == {"other_domain": 1, "loopback": 1}


def test_a_second_round_asks_only_for_what_has_changed(crawl: Callable[..., Crawl]) -> None:
    one = crawl(pages=20)
    first = one.run()
    assert not one.resumed
    again = one.run()
    assert not one.resumed
    assert (again.pages, again.published, again.repeated) == (20, 0, first.images)
    one.site.routes["/image/3.jpg"] = fixed(jpeg(999), "image/jpeg")
    third = one.run()
    assert (third.published, third.repeated) == (1, first.images - 1)


def test_a_crawl_that_was_stopped_goes_on_without_asking_twice(crawl: Callable[..., Crawl]) -> None:
    one = crawl(pages=60)
    one.run(stop_after=15)
    assert 15 <= len(one.images) < 54
    one.run(stop_after=15)
    assert one.resumed
    found = one.run()
    assert (found.pages, found.published, found.repeated, found.waiting) == (60, 54, 6, 0)
    assert len({url for url, _, _ in one.images}) == len(one.images) == 54


def test_two_crawls_cannot_have_the_same_state(crawl: Callable[..., Crawl]) -> None:
    one = crawl(pages=1)
    frontier = Frontier(one.state, 10)
    with pytest.raises(ConfigError, match="used by another crawl"):
        Frontier(one.state, 10)
    frontier.close()
    one.state.write_bytes(b"no database at all" * 100)
    with pytest.raises(ConfigError, match="no frontier"):
        Frontier(one.state, 10)
