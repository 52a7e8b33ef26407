"""The crawler as it ships, with a broker, in a network namespace whose site has a global address."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.kafka.publisher import Publisher
from infra.kafka.reader import Reader
from infra.net.policy import OnlyEndpoint
from infra.process.lifecycle import Stop
from infra.process.ports import find_ports
from infra.process.supervise import http_get
from infra.process.times import now_us
from ingest.crawl.frontier import Frontier
from ingest.crawl.publish import Publishing, settle_sending
from ingest.crawl.seeds import read_seeds
from ingest.crawl.service import run_crawl
from ingest.crawl.urls import Kind, Link
from ingest.publish.outbox import Outbox
from schemas.codec import decode
from schemas.records import Frame, SourceKind
from tests.support.crawl_site import FORBIDDEN, Site, a_byte_a_second, jpeg, serving
from tests.support.crawl_world import unavailable, world
from tests.support.deployment import Deployment

PAGES = 2_000
IMAGES, REPEATED = 2_000, 200
ADDRESSES = Counter(reason for _, reason in FORBIDDEN.values())


@pytest.fixture
def inside(deployment: Deployment, tmp_path: Path) -> Iterator[list[str]]:
    reason = unavailable()
    if reason is not None and os.environ.get("CRAWL_TEST_NEEDS_NAMESPACES"):
        pytest.fail(f"here the test must run: {reason}")
    if reason is not None:
        pytest.skip(reason)
    port = int(deployment.services.bootstrap_servers.rpartition(":")[2])
    with world(PAGES, tmp_path / "requests", port) as words:
        yield words


def start(inside: list[str], deployment: Deployment, state: Path) -> subprocess.Popen[str]:
    quick = {"PER_HOST_PER_S": "0", "MAX_CONNECTIONS_PER_HOST": "8", "MAX_DEPTH": "9", "TIMEOUT_MS": "10000"}
    env = {**deployment.env, **{f"SIGHTLINE_CRAWL__{name}": value for name, value in quick.items()}}
    env |= dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9090")
    command = [sys.executable, "-m", "infra.cli", "crawl", "--seeds", "http://site.test/", "--state", str(state)]
    pipe = subprocess.PIPE
    return subprocess.Popen([*inside, *command, "--json"], env=env, stdout=pipe, stderr=pipe, text=True)


def frames(deployment: Deployment) -> list[Frame]:
    with Reader(deployment.settings()) as reader:
        return [decode(Frame, record.value) for record in reader.read(reader.spans(deployment.topics.frames))]


@pytest.mark.system
@pytest.mark.timeout(150)
def test_a_site_with_traps_is_crawled_to_the_same_result_when_the_crawler_is_killed_twice(
    inside: list[str], deployment: Deployment, tmp_path: Path
) -> None:
    state, requests = tmp_path / "state.sqlite", tmp_path / "requests"
    for asked, number in ((600, signal.SIGKILL), (1_500, signal.SIGKILL), (2_400, signal.SIGTERM)):
        process = start(inside, deployment, state)
        until = time.monotonic() + 60
        while not requests.exists() or len(requests.read_text().splitlines()) < asked:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < until
            time.sleep(0.05)
        process.send_signal(number)
        out, _ = process.communicate(timeout=10)
    assert process.returncode == 0  # of SIGTERM
    assert json.loads(out.splitlines()[-1])["waiting"] > 0
    out, errors = start(inside, deployment, state).communicate(timeout=100)
    found = json.loads(out.splitlines()[-1])
    assert "Traceback" not in errors

    assert found == {
        "pages": PAGES,
        "images": IMAGES,
        "published": IMAGES - REPEATED,
        "repeated": REPEATED,
        "refused": {
            # a name with one private answer of two, and a name inside; 100.64.0.1; the rebinding name's second answer
            "carrier_nat": 1,
            "loopback": ADDRESSES["loopback"] + 1,
            "metadata": ADDRESSES["metadata"],
            "private": ADDRESSES["private"] + 2,
            "scheme": ADDRESSES["scheme"] + 1,
        },
        "errors": {"http_404": 1},
        "resumed": True,
        "waiting": 0,
    }
    assert not (tmp_path / "trapped").exists(), (tmp_path / "trapped").read_text()

    published = frames(deployment)
    assert len(published) == len({frame.uri for frame in published}) == IMAGES - REPEATED
    assert {frame.source_id for frame in published} == {"crawl.site.test"}
    assert {frame.source_kind for frame in published} == {SourceKind.CRAWLER}
    assert len({frame.image for frame in published}) == len(published)
    assert all(frame.attributes["page"].startswith("http://site.test/") for frame in published)
    assert jpeg(1234) in {frame.image for frame in published}
    asked_for = Counter(requests.read_text().splitlines())
    assert max(asked_for.values()) <= 4  # what was under way at a kill or stop is asked again, and nothing else
    assert sum(number - 1 for number in asked_for.values()) <= 3 * 40


def test_what_a_killed_crawl_was_sending_is_done_where_the_topic_has_it_and_asked_again_where_not(
    deployment: Deployment, tmp_path: Path
) -> None:
    settings = deployment.settings()
    frontier = Frontier(tmp_path / "state", 10)
    frontier.add(Link(f"http://a.test/{number}.jpg", "a.test", Kind.IMAGE) for number in range(3))
    urls = frontier.waiting("a.test", 0, 9)
    for number, url in enumerate(urls):
        frontier.sends(url, hashlib.sha256(jpeg(number)).digest(), now_us())
    publisher = Publisher(settings)
    outbox = Outbox(publisher, deployment.topics.frames, lambda *_: None, retention_h=24)
    publishing = Publishing(outbox, 1, lambda: False)

    async def publish() -> bool:
        await publishing("http://a.test/2.jpg", "", "a.test", jpeg(1))  # the bytes of another URL
        return await publishing(urls[0].url, "", "a.test", jpeg(0))

    assert asyncio.run(publish())
    publishing.close()
    publisher.close()
    assert settle_sending(settings, deployment.topics.frames, frontier, None) == 1
    assert [url.url for url in frontier.waiting("a.test", 0, 9)] == [url.url for url in urls[1:]]
    assert frontier.has_picture(hashlib.sha256(jpeg(0)).digest()) and frontier.sending() == []
    frontier.close()


def test_a_crawl_tells_its_health_and_its_metrics_while_it_runs(deployment: Deployment, tmp_path: Path) -> None:
    with serving(Site(pages=3, routes={"/image/*": a_byte_a_second})) as site:
        [port], seeds = find_ports(1), read_seeds(f"http://127.0.0.1:{site.port}/")
        settings = deployment.settings(http={"port": port}, crawl={"per_host_per_s": 1.0})
        stop, policy = Stop(), OnlyEndpoint("127.0.0.1", site.port)
        crawl = threading.Thread(target=run_crawl, args=(settings, seeds, tmp_path / "state", stop, policy))
        crawl.start()
        try:
            until, text = time.monotonic() + 20, ""
            while 'sightline_crawl_urls_total{outcome="page"' not in text and time.monotonic() < until:
                time.sleep(0.1)
                text = http_get(port, "/metrics", 5)[1]
            assert 'sightline_crawl_urls_total{outcome="page"' in text
            assert (http_get(port, "/livez", 5)[0], http_get(port, "/readyz", 5)[0]) == (200, 200)
        finally:
            stop.set()
            crawl.join(20)
    assert not crawl.is_alive()
