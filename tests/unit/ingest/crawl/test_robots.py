"""robots.txt files that cost more than they weigh."""

import asyncio
from pathlib import Path

import pytest

from ingest.crawl.fetch import Answer, FetchError
from ingest.crawl.frontier import Frontier
from ingest.crawl.robots import MAX_ROBOTS_BYTES, Robots, Rules, for_one

OWN = "SightlineBot"


@pytest.mark.timeout(20)
def test_rules_for_thousands_of_names_are_kept_once() -> None:
    names = "".join(f"User agent bot{number}\n" for number in range(12_000))
    rules = Rules(names + "".join(f"Disallow: /{number}\n" for number in range(12_000)) + "Crawl-delay: 3", OWN, 0.0)
    assert (rules.refusal("http://a/7"), rules.crawl_delay_s()) == (None, None)


@pytest.mark.parametrize(
    ("text", "is_refused"),
    [
        ("User-agent: *\nDisallow: /x", True),
        ("User-agent: other\nDisallow: /x", False),
        ("User-agent: other\nUser-agent: SIGHTLINEBOT # us\nDisallow: /x", True),
        ("User-agent: sightline*\nDisallow: /x\nUser-agent: *\nDisallow: /", True),
        ("User-agent: sightline\nDisallow: /x\nUser-agent: sightlinebot\nAllow: /", False),
        ("User-agent: bot\nDisallow: /x\nUser-agent: *\nAllow: /", False),
        ("useragent sightlinebot\nDisallow: /y\nUser-agent: other\nDisallow: /x", False),
    ],
)
def test_the_group_of_the_crawlers_own_name_counts_before_that_of_all(text: str, is_refused: bool) -> None:
    assert Rules(text, OWN, 0.0).refusal("http://a/x") == ("robots" if is_refused else None)


def test_other_lines_are_left_as_they_are() -> None:
    text = "Sitemap: http://a/user-agent\nDisallow: /user agent"
    assert for_one(text, OWN) == text


def robots(folder: Path, texts: dict[str, bytes]) -> Robots:
    async def fetch(url: str, _limit: int) -> Answer:
        if url not in texts:
            raise FetchError("loopback", is_refusal=True)
        return Answer(200, texts[url])

    return Robots(fetch, Frontier(folder / "state", 10), OWN)


def test_a_byte_order_mark_does_not_open_a_site(tmp_path: Path) -> None:
    sites = robots(tmp_path, {"http://a/robots.txt": b"\xef\xbb\xbfUser-agent: *\nDisallow: /"})
    assert asyncio.run(sites.of("http://a")).refusal("http://a/x") == "robots"


def test_the_rules_in_memory_are_bounded_in_bytes_and_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = b"#" * MAX_ROBOTS_BYTES
    sites = robots(tmp_path, {f"http://{number}/robots.txt": large for number in range(20)})

    async def ask() -> int:
        for number in range(20):
            await sites.of(f"http://{number}")
        held = sites.held()
        monkeypatch.setattr("ingest.crawl.robots._MAX_ORIGINS", 3)
        for number in range(5):
            with pytest.raises(FetchError):
                await sites.of(f"http://refused-{number}")
        return held

    assert 0 < asyncio.run(ask()) <= 4 << 20
    assert len(sites._rules) == 3
