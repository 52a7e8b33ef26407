from collections import Counter
from pathlib import Path

import pytest

from ingest.crawl import outcomes
from ingest.crawl.frontier import Frontier, Waiting, kept_in
from ingest.crawl.summary import summary_of
from ingest.crawl.urls import Kind, Link
from schemas.errors import ConfigError, SightlineError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "crawl.sqlite"


def link(name: str, kind: Kind = Kind.PAGE, refusal: str | None = None) -> Link:
    return Link(f"http://a/{name}", "a", kind, refusal)


def taken(frontier: Frontier) -> list[Waiting]:
    return frontier.waiting("a", 0, 100)


def test_what_is_done_is_not_asked_again_after_a_restart(path: Path) -> None:
    first = Frontier(path, 100)
    first.add([link("1"), link("2"), link("1")])
    one = taken(first)[0]
    assert first.finish(one, outcomes.PAGE, [link("3"), link("1")], depth=1, on=one.url) == {"a"}
    first.close()
    again = Frontier(path, 100)
    assert again.resumed and again.hosts() == ["a"]
    assert [(url.url[-1], url.depth, url.page) for url in taken(again)] == [("2", 0, ""), ("3", 1, "http://a/1")]
    again.close()


def test_a_round_that_is_over_begins_anew_without_what_was_refused_or_gone(path: Path) -> None:
    first = Frontier(path, 100)
    first.add([link("1"), link("gone"), link("no", refusal="scheme"), link("bad")])
    for url, outcome in zip(taken(first), ["page", "error:http_404", "error:timeout"], strict=True):
        first.finish(url, outcome, etag='"e"', counts=Counter({"refused:too_many_links": 3}))
    assert summary_of(first.outcomes()).refused == {"scheme": 1, "too_many_links": 9}
    first.end_round()
    first.close()
    again = Frontier(path, 100)
    assert not again.resumed
    assert [(url.url[-3:], url.etag) for url in taken(again)] == [("a/1", '"e"'), ("bad", '"e"')]
    assert summary_of(again.outcomes()).as_json(resumed=False)["waiting"] == 2
    again.close()


def test_the_number_of_urls_is_bounded(path: Path) -> None:
    frontier = Frontier(path, 5)
    frontier.add([link(str(n)) for n in range(9)])
    assert frontier.urls == 5
    assert summary_of(frontier.outcomes()).refused == {"too_many_urls": 4}
    frontier.close()


def test_a_url_that_was_too_deep_is_taken_when_it_is_found_nearer(path: Path) -> None:
    frontier = Frontier(path, 9)
    frontier.add([link("1", refusal="too_deep")], depth=6)
    assert taken(frontier) == []
    assert frontier.add([link("1")], depth=2) == {"a"}
    assert [url.depth for url in taken(frontier)] == [2]
    assert summary_of(frontier.outcomes()).refused == {}
    frontier.close()


def test_the_totals_are_those_of_the_file(path: Path) -> None:
    frontier = Frontier(path, 100)
    frontier.add([link(str(n), Kind.IMAGE) for n in range(6)])
    for number, url in enumerate(taken(frontier)[:4]):
        frontier.sends(url, bytes([number]), 1_000_000)
        if number < 3:
            frontier.sent(url.id, bytes([number]))
    assert [one.url for one in frontier.sending()] == ["http://a/3"]
    frontier.not_sent(frontier.sending()[0].id)
    kept = frontier.outcomes()
    frontier.close()
    again = Frontier(path, 100)
    assert again.outcomes() == kept == Counter({("image", "published"): 3, ("image", "waiting"): 3})
    assert again.has_picture(b"\x02") and not again.has_picture(b"\x03") and again.sending() == []
    again.close()


def test_redirects_that_lead_in_a_circle_are_known(path: Path) -> None:
    frontier = Frontier(path, 9)
    frontier.add([link("1"), link("2")])
    one, two = taken(frontier)
    frontier.finish(one, outcomes.MOVED, moved_to=two.url)
    assert frontier.leads_to(one.url, two.url, 10) and not frontier.leads_to(two.url, one.url, 10)
    frontier.close()


def test_robots_are_kept_for_a_time(path: Path) -> None:
    frontier = Frontier(path, 9)
    frontier.keep_robots("http://a", "x")
    assert frontier.robots("http://a", 0.0) == "x"
    assert frontier.robots("http://a", 1e12) is None and frontier.robots("http://b", 0.0) is None
    frontier.close()


def test_a_place_where_no_file_can_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for state in (tmp_path, tmp_path / "file" / "state"):
        with pytest.raises(ConfigError, match=str(state)):
            Frontier(state, 10)


def test_a_disk_that_is_full_ends_the_crawl_with_a_sentence_and_nothing_half_done(path: Path) -> None:
    frontier = Frontier(path, 100_000)
    frontier.add([link("1")])
    frontier._db.execute("PRAGMA max_page_count = 20")
    with pytest.raises(SightlineError, match="full"), kept_in(path):
        frontier.finish(taken(frontier)[0], outcomes.PAGE, [link(f"{number}" * 50) for number in range(10_000)])
    frontier.close()
    again = Frontier(path, 100)
    assert [url.url for url in taken(again)] == ["http://a/1"]
    again.close()


def test_an_old_robots_txt_is_not_kept_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Frontier(path, 10)
    first.keep_robots("http://new", "new")
    with monkeypatch.context() as patch:
        patch.setattr("time.time", lambda: 0.0)
        first.keep_robots("http://old", "old")
    first.end_round()
    first.close()
    again = Frontier(path, 10)
    assert (again.robots("http://new", -1.0), again.robots("http://old", -1.0)) == ("new", None)
    again.close()
