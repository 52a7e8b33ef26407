"""The process of `sightline crawl`, from start to stop: seeds -> frontier -> crawler -> outbox -> `frames.raw`."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver

from infra.kafka.clients import no_delivery_timeout
from infra.kafka.publisher import Publisher
from infra.kafka.schema_registry import registry_of
from infra.kafka.topics import TopicNames
from infra.net.policy import AddressPolicy, GlobalAddresses
from infra.net.session import client_session
from infra.process import metrics
from infra.process.health import HealthServer
from infra.process.lifecycle import STOP_BUDGET_S, Stop, StopBudget
from infra.settings import CrawlSettings, Settings
from infra.status.reporter import Doing, reporting
from ingest.crawl.crawler import Crawler
from ingest.crawl.frontier import Frontier, kept_in
from ingest.crawl.pictures import Publish
from ingest.crawl.publish import Publishing, settle_sending
from ingest.crawl.screen import SHOW_EVERY_S, Screen
from ingest.crawl.seeds import scope_of
from ingest.crawl.summary import Summary, summary_of
from ingest.crawl.urls import Link
from ingest.publish.drops import DropCounts
from ingest.publish.outbox import ENVELOPE_BYTES, Outbox

# A frame that waits for room in the producer's queue when the crawl is stopped is given up after this.
_PUBLISH_S = 2.0
_LOOKUP_THREADS = 32


def run_crawl(
    settings: Settings, seeds: list[Link], state: Path, stop: Stop, policy: AddressPolicy | None = None
) -> tuple[Summary, bool]:
    """Crawl until nothing waits or `stop` is set; what came of it, and whether it went on with an unfinished crawl.

    `policy` is for a server that the same program has bound; without it, global addresses alone are connected to.
    Raises ConfigError where the frontier cannot be used, Stalled when Kafka will never take a frame again.
    """
    topic = TopicNames.for_lane(settings.topic_prefix).frames
    metrics.SOURCE_LABEL.max_sources = settings.metrics.per_source
    crawl = settings.crawl
    largest = min(crawl.max_image_bytes, settings.topics.max_frame_bytes - ENVELOPE_BYTES)
    crawl = crawl.model_copy(update={"max_image_bytes": largest})
    drops = DropCounts()
    with ExitStack() as closing:
        frontier = Frontier(state, crawl.max_urls)
        closing.enter_context(kept_in(state))
        closing.callback(frontier.close)
        resumed = frontier.resumed
        registry = registry_of(settings)
        if registry is not None:
            closing.callback(registry.close)
        settle_sending(settings, topic, frontier, registry)
        publisher = Publisher(settings, **no_delivery_timeout(settings))  # while Kafka is away, the crawl waits
        ending = StopBudget(stop)
        closing.callback(lambda: publisher.close(ending.remaining_s() if stop.is_set() else STOP_BUDGET_S))

        def live() -> str | None:
            return f"the Kafka producer cannot go on: {publisher.fatal}" if publisher.fatal else None

        health = closing.enter_context(HealthServer(settings.http, live, live))
        outbox = Outbox(publisher, topic, drops.add, registry, retention_h=settings.topics.frames_retention_h)
        publishing = Publishing(outbox, time.time_ns() // 1_000_000, StopBudget(stop, _PUBLISH_S).expired)
        closing.callback(publishing.close)

        def doing() -> Doing:
            delivered = outbox.delivered().total()
            return Doing(arrived=delivered, finished=delivered, produce_wait_ms=publisher.produce_wait_ms())

        frontier.add(seeds)
        with reporting(settings, "ingest", "live", publisher, doing, health):
            crawl_round(crawl, seeds, frontier, publishing, stop.is_set, policy or GlobalAddresses())
        return summary_of(frontier.outcomes()), resumed


def crawl_round(
    settings: CrawlSettings,
    seeds: list[Link],
    frontier: Frontier,
    publish: Publish,
    stopped: Callable[[], bool],
    policy: AddressPolicy,
    resolver: AbstractResolver | None = None,
) -> None:
    """One round, in an event loop of its own, with its progress shown."""

    async def crawl() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_LOOKUP_THREADS, "look-up"))
        timeout = aiohttp.ClientTimeout(total=settings.timeout_ms / 1000)
        async with client_session(
            policy,
            user_agent=f"{settings.name}/1.0{f' ({settings.contact})' if settings.contact else ''}",
            timeout=timeout,
            connections=settings.max_connections,
            resolver=resolver,
        ) as session:
            crawler = Crawler(settings, scope_of(settings, seeds), frontier, session, publish, stopped)
            with Screen() as screen:
                showing = asyncio.create_task(_show(screen, frontier, crawler))
                try:
                    await crawler.run()
                finally:
                    showing.cancel()

    asyncio.run(crawl())


async def _show(screen: Screen, frontier: Frontier, crawler: Crawler) -> None:
    while True:
        screen.show(summary_of(frontier.outcomes()), crawler.active)
        await asyncio.sleep(SHOW_EVERY_S)
