"""The crawler on a local site, politeness off, compared with a bare download of the same images."""

import asyncio
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import aiohttp

from infra.net.policy import OnlyEndpoint
from infra.process.lifecycle import Stop
from ingest.crawl.local_site import ADDRESS, gallery, serving
from ingest.crawl.seeds import read_seeds
from ingest.crawl.service import run_crawl
from schemas.errors import SightlineError
from streams.bench.measure import median_ratio, rates_in_turn
from streams.bench.report import Options, Report
from streams.bench.sample_frames import jpegs, unique
from streams.bench.testbed import Testbed, testbed

IMAGES_PER_PAGE = 30
CONNECTIONS = 16
GOAL_PER_S = 200
VARIABLES = {
    "SIGHTLINE_CRAWL__PER_HOST_PER_S": "0",
    "SIGHTLINE_CRAWL__MAX_CONNECTIONS": str(CONNECTIONS),
    "SIGHTLINE_CRAWL__MAX_CONNECTIONS_PER_HOST": str(CONNECTIONS),
}


def bench_crawl(options: Options) -> Report:
    """Images a second from the first request to the last acknowledgement, over those of a download that drops them."""
    report = Report("crawl")
    with testbed(**VARIABLES) as bed, _site(options.frames) as port:
        pairs = rates_in_turn(
            options.repeats, lambda _: _crawl(bed, port, options.frames), lambda _: _download(port, options.frames)
        )
    report.ratio("crawled_over_bare_download", median_ratio(pairs))
    report.ratio("crawled_images_per_s", median(ours for ours, _ in pairs), ">=", GOAL_PER_S)
    report.figures = {
        "crawled_images_per_s": [round(ours) for ours, _ in pairs],
        "downloaded_images_per_s": [round(bare) for _, bare in pairs],
    }
    return report


def _crawl(bed: Testbed, port: int, count: int) -> float:
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder:
        started_s = time.perf_counter()
        seeds = read_seeds(f"http://{ADDRESS}:{port}/")
        summary, _ = run_crawl(bed.settings, seeds, Path(folder) / "state", Stop(), OnlyEndpoint(ADDRESS, port))
        elapsed_s = time.perf_counter() - started_s
    if summary.published != count:
        raise SightlineError(f"{summary.published} of {count} images were published: {summary}")
    return count / elapsed_s


def _download(port: int, count: int) -> float:
    """The same images, by name and without anything else, in a loop over the same number of connections."""

    async def run() -> None:
        names = iter(range(count))
        sizes: list[int] = []

        async def one_after_the_other(session: aiohttp.ClientSession) -> None:
            for name in names:
                async with session.get(f"http://{ADDRESS}:{port}/image/{name}") as response:
                    response.raise_for_status()
                    sizes.append(len(await response.read()))

        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(one_after_the_other(session) for _ in range(CONNECTIONS)))
        if len(sizes) != count or not all(sizes):
            raise SightlineError("the bare download lacks images")

    started_s = time.perf_counter()
    asyncio.run(run())
    return count / (time.perf_counter() - started_s)


@contextmanager
def _site(count: int) -> Iterator[int]:
    """The site in a process of its own, so that it does not share an interpreter with the crawler."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(count, theirs), daemon=True)
    process.start()
    try:
        if not ours.poll(60.0):
            raise SightlineError("the local site does not start")
        yield int(ours.recv())
    finally:
        ours.send(None)
        process.join(10.0)


def _serve(count: int, pipe: Connection) -> None:
    images = jpegs()
    site = {str(number): unique(images[number % len(images)], number) for number in range(count)}
    with serving(gallery(site, IMAGES_PER_PAGE)) as port:
        pipe.send(port)
        pipe.recv()
