"""Crawls in this process: of a local site under made-up names, with a policy that allows that site alone."""

import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from infra.net.policy import OnlyEndpoint
from infra.settings import CrawlSettings
from ingest.crawl.frontier import Frontier
from ingest.crawl.seeds import read_seeds
from ingest.crawl.service import crawl_round
from ingest.crawl.summary import Summary, summary_of
from tests.support.crawl_site import Site

QUICK = {"per_host_per_s": 0, "max_connections_per_host": 4, "timeout_ms": 1500, "max_attempts": 1}


class Everywhere(AbstractResolver):
    """A name server to which every name is this machine, but for those that are given."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        address = self._names.get(host, "127.0.0.1")
        return [ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


@dataclass
class Crawl:
    """`run` does one round, or a part of it until `stop_after` images. `images` are those that were published."""

    site: Site
    state: Path
    names: dict[str, str] = field(default_factory=dict)
    images: list[tuple[str, str, str]] = field(default_factory=list)
    resumed: bool = False

    def run(self, seed: str = "/", stop_after: int | None = None, **settings: Any) -> Summary:
        wanted = len(self.images) + stop_after if stop_after else None

        def stopped() -> bool:
            return wanted is not None and len(self.images) >= wanted

        url = seed if "://" in seed else f"http://shop.test:{self.site.port}{seed}"
        crawl = CrawlSettings(**{**QUICK, **settings})
        frontier = Frontier(self.state, crawl.max_urls)
        self.resumed = frontier.resumed
        seeds = read_seeds(url)
        frontier.add(seeds)
        policy = OnlyEndpoint("127.0.0.1", self.site.port)
        crawl_round(crawl, seeds, frontier, self._publish, stopped, policy, Everywhere(self.names))
        summary = summary_of(frontier.outcomes())
        frontier.close()
        return summary

    async def _publish(self, url: str, page: str, host: str, _image: bytes) -> bool:
        self.images.append((url, page, host))
        return True
