import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.crawl.urls import ANYWHERE, Kind, Scope, origin_of

BASE = "http://shop.test/a/b.html"


@pytest.mark.parametrize(
    ("found", "url"),
    [
        ("c.html", "http://shop.test/a/c.html"),
        ("/c?x=1#part", "http://shop.test/c?x=1"),
        ("//cdn.test/i.jpg", "http://cdn.test/i.jpg"),
        ("HTTP://SHOP.test:80/", "http://shop.test/"),
        ("https://shop.test:443/x", "https://shop.test/x"),
        ("http:///c.html", "http://shop.test/c.html"),
        (" /c\n.html\t", "http://shop.test/c.html"),
        ("../../../c", "http://shop.test/c"),
        ("http://bücher.test/ü", "http://xn--bcher-kva.test/%C3%BC"),
        ("http://[2606:4700::1111]/i", "http://[2606:4700::1111]/i"),
    ],
)
def test_a_url_has_one_form(found: str, url: str) -> None:
    link = ANYWHERE.link(BASE, found, Kind.PAGE)
    assert (link.url, link.refusal) == (url, None)
    assert ANYWHERE.link(BASE, link.url, Kind.PAGE).url == url


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ("data:image/png;base64,AAAA", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("FILE:/etc/passwd", "scheme"),
        ("ftp://shop.test/a", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("mailto:a@b", "scheme"),
        ("http://user:pass@shop.test/", "credentials"),
        ("http://shop.test:99999/", "bad_url"),
        ("http://[::1", "bad_url"),
        (f"http://{'a' * 300}.test/", "bad_url"),
        ("/" + "x" * 3000, "long_url"),
    ],
)
def test_what_is_never_requested(found: str, reason: str) -> None:
    link = ANYWHERE.link(BASE, found, Kind.IMAGE)
    assert link.refusal == reason
    assert len(link.url) <= 120


def test_a_domain_covers_its_sub_domains_and_no_name_that_ends_alike() -> None:
    scope = Scope(frozenset({"shop.test"}), frozenset("*"))
    for host, refusal in (("shop.test", None), ("a.b.shop.test", None), ("myshop.test", "other_domain")):
        assert scope.link(BASE, f"http://{host}/", Kind.PAGE).refusal == refusal
    assert scope.link(BASE, "http://cdn.test/i.jpg", Kind.IMAGE).refusal is None


@given(st.text(max_size=60) | st.from_regex(r"https?://[^\n]{0,40}") | st.text(st.characters(), max_size=20))
def test_any_text_is_a_link_or_refused_and_can_be_kept(found: str) -> None:
    link = ANYWHERE.link(BASE, found, Kind.PAGE)
    sqlite3.connect(":memory:").execute("SELECT ?, ?", (link.url, link.host))
    if link.refusal is None:
        assert link.url.startswith(origin_of(link.url))
        assert ANYWHERE.link("", link.url, Kind.PAGE).url == link.url


def test_a_location_of_any_bytes_can_be_kept() -> None:
    link = ANYWHERE.link(BASE, b"http://shop.test/\xff\xfe".decode(errors="surrogateescape"), Kind.PAGE)
    link.url.encode()
