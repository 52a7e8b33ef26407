from pathlib import Path

import pytest

from infra.settings import CrawlSettings
from ingest.crawl.command import text_of
from ingest.crawl.seeds import read_seeds, scope_of
from ingest.crawl.summary import Summary
from ingest.crawl.urls import Kind
from schemas.errors import ConfigError


def test_a_url_or_a_file_with_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "seeds"
    file.write_text(
        "# shops\n\nhttp://A.test/\nhttp://a.test/\nhttp://a.test/sitemap.xml.gz\nhttp://b.test/i.JPG?x=1\n"
    )
    assert [(seed.url, seed.kind) for seed in read_seeds(str(file))] == [
        ("http://a.test/", Kind.PAGE),
        ("http://a.test/sitemap.xml.gz", Kind.SITEMAP),
        ("http://b.test/i.JPG?x=1", Kind.IMAGE),
    ]
    assert [seed.host for seed in read_seeds("https://c.test")] == ["c.test"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "file:///etc/passwd\n", "no url\n", "http://u:p@a.test/\n"])
def test_seeds_that_cannot_be_asked_are_all_named(text: str, tmp_path: Path) -> None:
    file = tmp_path / "seeds"
    file.write_text(text)
    with pytest.raises(ConfigError):
        read_seeds(str(file))
    with pytest.raises(ConfigError, match="give a URL, or a file"):
        read_seeds(str(tmp_path / "nothing"))


def test_pages_are_read_on_the_hosts_of_the_seeds_unless_domains_are_given() -> None:
    seeds = read_seeds("http://a.test/")
    assert scope_of(CrawlSettings(), seeds).domains == {"a.test"}
    assert scope_of(CrawlSettings(domains=(".B.test",)), seeds).domains == {"b.test"}


def test_the_result_for_people() -> None:
    text = text_of(Summary(2, 3, 2, 1, 7, {"robots": 4}, {"timeout": 1}), Path("state"))
    assert text.splitlines() == [
        "2 pages, 3 images: 2 published, 1 repeated",
        "refused: robots 4",
        "errors: timeout 1",
        "7 URLs wait: the same command goes on (state)",
    ]
