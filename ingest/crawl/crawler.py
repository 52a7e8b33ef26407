"""The crawl: URLs from the frontier, as fast as each host allows; what they lead to goes back into it.

Everything runs in one event loop. A URL is done in the frontier only after the broker has acknowledged its frame.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace

import aiohttp

from infra.settings import CrawlSettings
from ingest.crawl import outcomes
from ingest.crawl.content import Content, Damaged, TooLarge, inflate, sniff
from ingest.crawl.fetch import REDIRECTS, Answer, FetchError, fetch
from ingest.crawl.frontier import Frontier, Waiting
from ingest.crawl.pace import Pace
from ingest.crawl.page import TooNested, links_of, text_of
from ingest.crawl.pictures import Pictures, Publish
from ingest.crawl.robots import Robots
from ingest.crawl.sitemap import sitemap_entries
from ingest.crawl.urls import Kind, Link, Scope, origin_of

# Redirects in a row.
_MAX_HOPS = 10
# URLs of one host that are held in memory.
_HELD_PER_HOST = 64
_LOOK_S = 0.2
# For requests that are under way when the crawl is stopped.
_STOP_WAIT_S = 3.0
_MAX_SITEMAPS = 50


class Crawler:
    """One round of a crawl, which another process can go on with. `stopped` is looked at several times a second."""

    def __init__(
        self,
        settings: CrawlSettings,
        scope: Scope,
        frontier: Frontier,
        session: aiohttp.ClientSession,
        publish: Publish,
        stopped: Callable[[], bool],
    ) -> None:
        self._settings, self._scope, self._frontier = settings, scope, frontier
        self._session, self._stopped = session, stopped
        self._pictures = Pictures(frontier, publish, settings.max_image_bytes)
        self._robots = Robots(lambda url, limit: fetch(session, url, limit, cut=True), frontier, settings.name)
        self._pace = Pace(settings.per_host_per_s, settings.max_connections_per_host, random.Random())
        self._loaded: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._known_origins: set[str] = set()
        self._left = self._requests_left()

    @property
    def active(self) -> int:
        """Requests that are under way."""
        return len(self._tasks)

    async def run(self) -> None:
        """Until nothing waits, or `stopped`. Raises what a defect or Kafka raised."""
        for host in self._frontier.hosts():
            self._load(host)
        try:
            while not self._stopped():
                self._reap()
                url = self._pace.take(time.monotonic()) if len(self._tasks) < self._settings.max_connections else None
                if url is not None:
                    self._load(url.host)
                    self._tasks.add(asyncio.create_task(self._turn(url)))
                elif not self._tasks and self._pace.next_s() is None:
                    self._frontier.end_round()
                    return
                else:
                    await self._wait()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=_STOP_WAIT_S)
            self._reap()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _wait(self) -> None:
        """Until a request has ended or a host may be asked, and not longer than `_LOOK_S`."""
        wait_s = _LOOK_S
        next_s = self._pace.next_s()
        if next_s is not None and len(self._tasks) < self._settings.max_connections:
            wait_s = min(max(next_s - time.monotonic(), 0.001), _LOOK_S)
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._changed.wait()

    def _reap(self) -> None:
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.discard(task)
            if not task.cancelled():
                task.result()

    def _load(self, host: str) -> None:
        if self._pace.waiting(host) > _HELD_PER_HOST // 2:
            return
        for url in self._frontier.waiting(host, self._loaded.get(host, 0), _HELD_PER_HOST):
            self._loaded[host] = url.id
            self._pace.add(url)

    def _added(self, hosts: Iterable[str]) -> None:
        for host in hosts:
            self._load(host)

    async def _turn(self, url: Waiting) -> None:
        """One attempt at one URL."""
        answer = None
        try:
            refusal = self._refused(url) or await self._robots_refusal(url)
            if refusal is not None:
                self._frontier.finish(url, outcomes.refused(refusal))
            else:
                self._count_request(url)
                answer = await fetch(self._session, url.url, self._max_bytes(url.kind), url.etag, url.modified)
                self._pace.succeeded(url.host)
        except FetchError as error:
            self._failed(url, error)
        finally:
            self._pace.done(url.host)
            self._changed.set()
        if answer is not None:
            await self._take(url, answer)
            self._changed.set()

    def _refused(self, url: Waiting) -> str | None:
        if self._is_too_deep(url.kind, url.depth):
            return "too_deep"
        return None if url.attempts or self._left[url.kind] > 0 else f"max_{url.kind}s"

    async def _robots_refusal(self, url: Waiting) -> str | None:
        origin = origin_of(url.url)
        rules = await self._robots.of(origin)
        if origin not in self._known_origins:
            self._known_origins.add(origin)
            self._pace.known(url.host, time.monotonic(), rules.crawl_delay_s())
            if url.kind is not Kind.IMAGE:
                sitemaps = [self._scope.link(origin, one, Kind.SITEMAP) for one in rules.sitemaps(_MAX_SITEMAPS)]
                self._added(self._frontier.add(sitemaps, page=f"{origin}/robots.txt"))
        return rules.refusal(url.url)

    def _count_request(self, url: Waiting) -> None:
        if not url.attempts:
            self._left[url.kind] -= 1

    def _requests_left(self) -> Counter[Kind]:
        """How many requests for pages and images the limits leave. Sitemaps are limited by their depth and size."""
        limits = {Kind.PAGE: self._settings.max_pages, Kind.IMAGE: self._settings.max_images}
        left = Counter({Kind.SITEMAP: self._settings.max_urls, **limits})
        for (kind, outcome), number in self._frontier.outcomes().items():
            if kind and outcome != outcomes.WAITING and not outcome.startswith(outcomes.REFUSED):
                left[Kind(kind)] -= number
        return left

    def _max_bytes(self, kind: Kind) -> int:
        if kind is Kind.SITEMAP:
            return self._settings.max_sitemap_bytes
        # A link of a page may lead to an image.
        return max(self._settings.max_image_bytes, self._settings.max_page_bytes if kind is Kind.PAGE else 0)

    def _failed(self, url: Waiting, error: FetchError) -> None:
        url.attempts += 1
        if error.again:
            self._pace.failed(url.host, time.monotonic(), error.retry_after_s)
            if url.attempts < self._settings.max_attempts:
                self._pace.add(url)
                return
        ended = outcomes.refused if error.is_refusal else outcomes.error
        self._frontier.finish(url, ended(error.reason))

    async def _take(self, url: Waiting, answer: Answer) -> None:
        if answer.status in REDIRECTS:
            self._moved(url, answer)
        elif answer.status == 304:
            self._frontier.finish(url, outcomes.UNCHANGED if url.etag or url.modified else outcomes.error("http_304"))
        elif url.kind is Kind.SITEMAP:
            self._sitemap(url, answer)
        else:
            match sniff(answer.body):
                case Content.IMAGE:
                    await self._pictures.take(url, answer)
                case Content.HTML if url.kind is Kind.PAGE:
                    self._page(url, answer)
                case Content.EMPTY:
                    self._frontier.finish(url, outcomes.error("empty"))
                case Content.SVG:
                    self._frontier.finish(url, outcomes.refused("svg"))
                case _:
                    self._frontier.finish(url, outcomes.refused(f"no_{url.kind}"))

    def _moved(self, url: Waiting, answer: Answer) -> None:
        """The target is a URL of its own, with robots.txt, rate, scope and address of its own host."""
        link = self._scope.link(url.url, answer.location, url.kind)
        if link.refusal is None and self._frontier.leads_to(link.url, url.url, _MAX_HOPS):
            self._frontier.finish(url, outcomes.error("redirect_loop"))
        elif url.hops >= _MAX_HOPS:
            self._frontier.finish(url, outcomes.error("too_many_redirects"))
        else:
            target, hops = (None if link.refusal else link.url), url.hops + 1
            added = self._frontier.finish(
                url, outcomes.MOVED, [link], depth=url.depth, hops=hops, moved_to=target, on=url.page
            )
            self._added(added)

    def _page(self, url: Waiting, answer: Answer) -> None:
        if len(answer.body) > self._settings.max_page_bytes:
            self._frontier.finish(url, outcomes.refused("too_large"))
            return
        text = text_of(answer.body, answer.charset)
        try:
            base, found, beyond = links_of(text, url.url, self._settings.max_links_per_page)
        except TooNested:
            self._frontier.finish(url, outcomes.refused("too_nested"))
            return
        self._found(url, outcomes.PAGE, base, found, beyond, answer, url.depth + 1)

    def _sitemap(self, url: Waiting, answer: Answer) -> None:
        body = answer.body
        try:
            if sniff(body) is Content.GZIP:
                body = inflate(body, self._settings.max_sitemap_bytes)
            found, beyond = sitemap_entries(body, self._settings.max_urls)
        except TooLarge:
            self._frontier.finish(url, outcomes.refused("too_large"))
        except Damaged:
            self._frontier.finish(url, outcomes.error("no_sitemap"))
        else:
            self._found(url, outcomes.SITEMAP, url.url, found, beyond, answer, 0)

    def _found(
        self,
        url: Waiting,
        outcome: str,
        base: str,
        found: list[tuple[str, Kind]],
        beyond: int,
        answer: Answer,
        depth: int,
    ) -> None:
        """`depth`: of the pages and images; sitemaps in a sitemap count from it."""
        links = [self._scope.link(base, text, kind) for text, kind in found if text.strip()]
        sitemaps = [link for link in links if link.kind is Kind.SITEMAP]
        others = [self._at_depth(link, depth) for link in links if link.kind is not Kind.SITEMAP]
        counts = Counter({outcomes.refused("too_many_links"): beyond})
        deeper = (self._at_depth(link, url.depth + 1) for link in sitemaps)
        added = self._frontier.add(deeper, depth=url.depth + 1, page=url.url)
        added |= self._frontier.finish(
            url, outcome, others, depth=depth, etag=answer.etag, modified=answer.modified, counts=counts, on=url.url
        )
        self._added(added)

    def _at_depth(self, link: Link, depth: int) -> Link:
        if link.refusal is None and self._is_too_deep(link.kind, depth):
            return replace(link, refusal="too_deep")
        return link

    def _is_too_deep(self, kind: Kind, depth: int) -> bool:
        most = self._settings.max_sitemap_depth if kind is Kind.SITEMAP else self._settings.max_depth
        return kind is not Kind.IMAGE and depth > most
