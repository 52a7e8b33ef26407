import contextlib
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.crawl.content import Content, Damaged, TooLarge, inflate, sniff
from ingest.crawl.page import TooNested, links_of, text_of
from ingest.crawl.sitemap import sitemap_entries
from ingest.crawl.urls import Kind

BASE = "http://shop.test/"


@pytest.mark.parametrize(
    ("body", "content"),
    [
        (b"", Content.EMPTY),
        (b"\xff\xd8\xff\xe0rest", Content.IMAGE),
        (b"\x89PNG\r\n\x1a\n", Content.IMAGE),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", Content.IMAGE),
        (b"GIF89a", Content.IMAGE),
        (b"\x00\x00\x00\x1cftypavif", Content.IMAGE),
        (b"<!DOCTYPE html><p>", Content.HTML),
        (b"\xef\xbb\xbf  <!-- x --><HTML>", Content.HTML),
        ("<html><body>".encode("utf-16"), Content.HTML),
        (b"<a href='x'>no html tag at all</a>", Content.HTML),
        (b"<html><body><svg></svg>", Content.HTML),
        (b"<?xml version='1.0'?><svg xmlns='x'></svg>", Content.SVG),
        (b"<?xml version='1.0'?><urlset>", Content.XML),
        (b"<?xml version='1.0'?><html xmlns='x'>", Content.HTML),
        (b"<sitemapindex>", Content.XML),
        (gzip.compress(b"x", mtime=0), Content.GZIP),
        (b"%PDF-1.7", Content.OTHER),
        (b"plain words", Content.OTHER),
        (b"\x00\x01\x02\x03", Content.OTHER),
    ],
)
def test_content_is_told_by_its_bytes(body: bytes, content: Content) -> None:
    assert sniff(body) is content


def test_links_and_images_of_a_page_once_each_and_in_order() -> None:
    text = """<html><head><base href="/deep/"><meta property="og:image" content="og.jpg"></head><body>
      <a href="a.html">1</a><a href="a.html">again</a><a rel="external NoFollow" href="no.html">2</a>
      <map><area href="area.html"></map><img src="i.jpg" srcset="s.jpg 100w, l.jpg 900w, m.jpg 400w">
      <img data-src="lazy.jpg"><picture><source srcset="p1.webp, p2.webp 2x"></picture><img src=""></body>"""
    base, links, beyond = links_of(text, BASE, 100)
    assert base == "http://shop.test/deep/" and beyond == 0
    assert [link for link, kind in links if kind is Kind.PAGE] == ["a.html", "area.html"]
    images = [link for link, kind in links if kind is Kind.IMAGE]
    assert images == ["og.jpg", "i.jpg", "l.jpg", "lazy.jpg", "p2.webp"]


@pytest.mark.parametrize("href", ["", "data:text/html,x", "javascript:1", "http://[", "http://b/" + "a/" * 1_000_000])
def test_a_base_that_nothing_can_be_joined_to_is_ignored(href: str) -> None:
    assert links_of(f'<base href="{href}"><img src="i">', BASE, 9)[0] == BASE


@pytest.mark.parametrize("content", ["nofollow", "noindex, NOFOLLOW", "none"])
def test_a_page_may_ask_not_to_be_followed(content: str) -> None:
    _, links, _ = links_of(f'<meta name="Robots" content="{content}"><a href="x">x</a><img src="i">', BASE, 9)
    assert links == [("i", Kind.IMAGE)]


def test_links_are_bounded() -> None:
    _, links, beyond = links_of("".join(f"<a href='{n}'>x</a>" for n in range(500)), BASE, 20)
    assert (len(links), beyond) == (20, 480)


@pytest.mark.parametrize(
    "tags",
    ["<div>", "<DIV class='x'>", "<font><p>", "<ul><li>", "<dd><li>", "<option>", "<b><div></b>", "<span><div></span>"],
)
def test_a_page_that_is_nested_without_end_is_refused_before_it_costs_minutes(tags: str) -> None:
    with pytest.raises(TooNested):
        links_of(tags * 100_000 + "<img src=i>", BASE, 9)


@pytest.mark.parametrize(
    "tags", ["<p>", "<li>", "<br>", "<tr><td><p>", "<li><p>", "<dt><dd>", "<div></div>", "<div><span></div>"]
)
def test_a_page_that_leaves_end_tags_out_is_read(tags: str) -> None:
    _, links, _ = links_of(tags * 10_000 + "<img src=i>", BASE, 9)
    assert links == [("i", Kind.IMAGE)]


@given(st.binary(max_size=300), st.sampled_from([None, "utf-16", "shift_jis", "idna", "hex", "undefined", "x" * 40]))
def test_any_bytes_are_a_page(body: bytes, charset: str | None) -> None:
    text = text_of(body, charset)
    text.encode()
    links_of(text, BASE, 10)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("before", ["<a ", "<a/", '<!-- <a x=\' --><a b=">" ', "<a==' ", "<x-y z = 1\n", "<a b='<i>'c"])
def test_an_element_with_attributes_without_end_is_refused_before_it_costs_minutes(before: str) -> None:
    with pytest.raises(TooNested):
        links_of(before + "".join(f"a{number}=1 " for number in range(400_000)) + ">", BASE, 9)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("tag", ["<a", "<a ", '<a b="', "<a b='", "<a b=", "<a <a <a <a>"])
def test_tags_in_tags_are_looked_at_in_little_time(tag: str) -> None:
    with contextlib.suppress(TooNested):
        links_of(tag * (4_000_000 // len(tag)), BASE, 9)


def test_an_element_with_many_attributes_is_read() -> None:
    text = "<img src=i " + "".join(f"a{number}='>' " for number in range(3_900)) + "><p>" + "word " * 50_000
    assert links_of(text, BASE, 9)[1] == [("i", Kind.IMAGE)]


@given(
    st.binary(max_size=200) | st.binary(max_size=60).map(lambda b: b"<urlset><url><loc>" + b + b"</loc></url></urlset>")
)
def test_any_bytes_are_a_sitemap_or_damaged(body: bytes) -> None:
    try:
        entries, _ = sitemap_entries(body, 10)
    except Damaged:
        return
    for url, _kind in entries:
        url.encode()


def test_a_sitemap_with_images_and_an_index() -> None:
    urls = b"""<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/x">
      <url><loc> http://a/1?x&amp;y </loc><image:image><image:loc>http://a/1.jpg</image:loc></image:image></url></urlset>"""
    assert sitemap_entries(urls, 10) == ([("http://a/1?x&y", Kind.PAGE), ("http://a/1.jpg", Kind.IMAGE)], 0)
    index = b"<sitemapindex><sitemap><loc>a</loc></sitemap><sitemap><loc>b</loc></sitemap></sitemapindex>"
    assert sitemap_entries(index, 1) == ([("a", Kind.SITEMAP)], 1)


@pytest.mark.parametrize("encoding", ["foo", "hex", "shift_jis", "utf-32", "idna", "punycode"])
def test_a_sitemap_in_an_encoding_that_no_parser_has_is_damaged(encoding: str) -> None:
    with pytest.raises(Damaged):
        sitemap_entries(f'<?xml version="1.0" encoding="{encoding}"?><urlset/>'.encode(), 10)


def test_a_billion_laughs_are_refused() -> None:
    with pytest.raises(Damaged):
        sitemap_entries(b"<!DOCTYPE a [<!ENTITY l 'lol'><!ENTITY m '&l;&l;'>]><urlset>&m;</urlset>", 10)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_inflating_is_bounded(pack: object) -> None:
    assert callable(pack)
    packed = pack(bytes(10_000))
    assert inflate(packed, 10_000) == bytes(10_000)
    with pytest.raises(TooLarge):
        inflate(packed, 9_999)
    with pytest.raises(Damaged):
        inflate(packed[:-5], 10_000)
    with pytest.raises(Damaged):
        inflate(b"no", 10_000)
