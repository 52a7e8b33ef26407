"""What the bytes of an answer are, whatever its Content-Type says, and the links in a page or a sitemap. Pure."""

import codecs
import re
import zlib
from collections.abc import Iterator
from enum import StrEnum
from xml.parsers import expat

from selectolax.lexbor import LexborHTMLParser

from ingest.crawl.urls import Kind
from ingest.sources.answers import is_picture, page_type

_CHARSETS = re.compile(
    r"(utf-?8|utf-?16(-?[lb]e)?|us-ascii|ascii|iso-?8859-?\d+|latin-?1|windows-?125\d|cp125\d|koi8-[ru]|shift[_-]?jis|"
    r"euc-(jp|kr)|iso-2022-jp|gb2312|gbk|gb18030|big5)",
    re.IGNORECASE,
)
_META_CHARSET = re.compile(rb"<meta[^>]{0,256}charset\s*=\s*[\"']?\s*([\w-]{1,32})", re.IGNORECASE)
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
)
# Elements whose end tag may be left out: what of the innermost elements their start tag ends.
_CELL, _TERM = frozenset(("p", "td", "th")), frozenset(("p", "dt", "dd"))
_ROWS = _CELL | {"tr", "tbody", "thead"}
_ENDS = {
    "p": frozenset(("p",)),
    "li": frozenset(("p", "li")),
    "dt": _TERM,
    "dd": _TERM,
    "td": _CELL,
    "th": _CELL,
    "tr": _CELL | {"tr"},
    "tbody": _ROWS,
    "thead": _ROWS,
    "tfoot": _ROWS,
}
# Elements whose end tag ends what is open in them. Any other end tag ends its element only where that is the innermost.
_BLOCKS = frozenset(
    ("article", "aside", "body", "button", "dd", "details", "div", "dl", "dt", "fieldset", "figure", "footer", "form")
    + ("header", "html", "li", "main", "nav", "ol", "p", "section", "table", "tbody", "td", "th", "thead", "tr", "ul")
)
# So far an end tag is looked for among the innermost elements.
_END_REACH = 16
# Browsers end nesting here too. The time of a parser grows with the depth for each tag.
MAX_NESTING = 512
_GZIP = b"\x1f\x8b"
_PIECE_BYTES = 64 * 1024


class Content(StrEnum):
    IMAGE = "image"
    SVG = "svg"
    HTML = "html"
    XML = "xml"
    GZIP = "gzip"
    EMPTY = "empty"
    OTHER = "other"


class TooLarge(Exception):
    """More bytes than allowed."""


class TooNested(Exception):
    """More elements in one another than a page has."""


class Damaged(Exception):
    """Not what it seemed to be."""


def sniff(body: bytes) -> Content:
    """By the first bytes. A text without any mark of HTML counts as OTHER, as do other binary formats."""
    if not body:
        return Content.EMPTY
    if is_picture(body):
        return Content.IMAGE
    if body.startswith(_GZIP):
        return Content.GZIP
    head = body[:1024].lower()
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        head = head.replace(b"\x00", b"")
    if re.search(rb"<svg[\s>]", head) and not re.search(rb"<(html|body|head)[\s>]", head):
        return Content.SVG
    if re.search(rb"<(urlset|sitemapindex)[\s>]", head) or head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<?xml"):
        return Content.HTML if b"<html" in head else Content.XML
    if re.search(rb"<(!doctype html|html|head|body|title|meta|a|img|p|div|h1|table|script)[\s>]", head):
        return Content.HTML
    return Content.HTML if page_type(body) == "text/html" else Content.OTHER


def inflate(data: bytes, max_bytes: int, wbits: int = 47) -> bytes:
    """Decompress gzip or zlib. Raises TooLarge beyond `max_bytes`, Damaged where it is neither or is cut off."""
    stream = Inflater(max_bytes, wbits)
    return stream.feed(data) + stream.end()


class Inflater:
    """The same, piece by piece; never holds more than `max_bytes` of output and one piece."""

    def __init__(self, max_bytes: int, wbits: int = 47) -> None:
        self._stream, self._left, self._wbits = zlib.decompressobj(wbits), max_bytes, wbits

    def feed(self, data: bytes) -> bytes:
        parts = []
        while data and not self._stream.eof:
            try:
                part = self._stream.decompress(data, _PIECE_BYTES)
            except zlib.error as error:
                raise Damaged(str(error)) from error
            self._left -= len(part)
            if self._left < 0:
                raise TooLarge
            parts.append(part)
            data = self._stream.unconsumed_tail
        return b"".join(parts)

    def end(self) -> bytes:
        if not self._stream.eof:
            raise Damaged("the compressed data is cut off")
        return b""


def text_of(body: bytes, declared: str | None) -> str:
    """The text of a page: by its byte order mark, the charset of its header or its meta tag, else UTF-8.

    Bytes that do not fit become U+FFFD. Charsets that no page has, such as Python's own codecs, are not tried.
    """
    for bom, name in _BOMS:
        if body.startswith(bom):
            return body[len(bom) :].decode(name, errors="replace")
    meta = _META_CHARSET.search(body[:4096])
    for name in (declared or "", meta[1].decode("ascii", "replace") if meta else ""):
        if _CHARSETS.fullmatch(name):
            try:
                return body.decode(name, errors="replace")
            except LookupError:
                continue
    return body.decode("utf-8", errors="replace")


def links_of(text: str, base: str, max_links: int) -> tuple[str, list[tuple[str, Kind]], int]:
    """The base URL of a page, its links in order, each once, and how many there were beyond `max_links`.

    A page that asks robots not to follow has images alone; so does a link with `rel=nofollow`. Raises TooNested.
    """
    if _nesting(text) > MAX_NESTING:
        raise TooNested
    tree = LexborHTMLParser(text)
    head_base = tree.css_first("base[href]")
    base = (head_base.attributes.get("href") or base) if head_base is not None else base
    robots = " ".join((one.attributes.get("content") or "").lower() for one in tree.css("meta[name=robots i]"))
    is_followed = not ("nofollow" in robots or "none" in robots.replace(",", " ").split())
    found: dict[tuple[str, Kind], None] = {}
    beyond = 0
    for node in tree.css("a[href], area[href], img, source[srcset], meta[property='og:image'], link[rel=image_src]"):
        for link in _links_of(str(node.tag), node.attributes, is_followed):
            if link not in found and len(found) >= max_links:
                beyond += 1
            else:
                found[link] = None
    return base, list(found), beyond


def _nesting(text: str) -> int:
    """How deep elements are in one another at most, as far as their tags alone tell; at most MAX_NESTING + 1."""
    deepest = 0
    inside: list[str] = []
    for tag in _TAG.finditer(text):
        name = tag[2].lower()
        if name in _VOID:
            continue
        if tag[1]:
            if name in inside[-(_END_REACH if name in _BLOCKS else 1) :]:
                while inside.pop() != name:
                    pass
            continue
        ended = _ENDS.get(name, ())
        while inside and inside[-1] in ended:
            inside.pop()
        inside.append(name)
        if len(inside) > deepest:
            deepest = len(inside)
            if deepest > MAX_NESTING:
                break
    return deepest


def _links_of(tag: str, attributes: dict[str, str | None], is_followed: bool) -> Iterator[tuple[str, Kind]]:
    if tag in ("a", "area"):
        if is_followed and "nofollow" not in (attributes.get("rel") or "").lower().split():
            yield attributes.get("href") or "", Kind.PAGE
        return
    for name in ("src", "data-src", "content", "href"):
        if value := (attributes.get(name) or "").strip():
            yield value, Kind.IMAGE
    if largest := _largest(attributes.get("srcset") or ""):
        yield largest, Kind.IMAGE


def _largest(srcset: str) -> str:
    """The candidate of a srcset with the largest width or density."""
    best, best_size = "", -1.0
    for candidate in re.split(r",\s+", srcset.strip())[:32]:
        words = candidate.rstrip(",").split()
        size = re.fullmatch(r"([\d.]{1,12})[wx]", words[1]) if len(words) > 1 else None
        try:
            value = float(size[1]) if size else 1.0
        except ValueError:
            value = 0.0
        if words and value > best_size:
            best, best_size = words[0], value
    return best


def sitemap_entries(body: bytes, max_entries: int) -> tuple[list[tuple[str, Kind]], int]:
    """The entries of a sitemap or of an index of sitemaps (sitemaps.org, with Google's images), and how many beyond.

    Raises Damaged for what is no sitemap. Entities are refused, and so are documents that define them.
    """
    entries: list[tuple[str, Kind]] = []
    path: list[str] = []
    text: list[str] = []
    counts = {"beyond": 0}

    def start(name: str, _attributes: object) -> None:
        path.append(name.rpartition(" ")[2].rpartition(":")[2])
        if len(path) > 16:
            raise Damaged("elements are nested too deeply")
        text.clear()

    def end(_name: str) -> None:
        parent, name = path[-2:] if len(path) > 1 else ("", path[-1])
        path.pop()
        if name != "loc":
            return
        kind = {"sitemap": Kind.SITEMAP, "url": Kind.PAGE, "image": Kind.IMAGE}.get(parent)
        if kind is not None and len(entries) < max_entries:
            entries.append(("".join(text).strip(), kind))
        elif kind is not None:
            counts["beyond"] += 1

    def characters(data: str) -> None:
        if path and path[-1] == "loc" and sum(map(len, text)) < 4096:
            text.append(data)

    def entity(*_: object) -> None:
        raise Damaged("it defines entities")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, characters
    parser.EntityDeclHandler = entity
    parser.buffer_text = True
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise Damaged(str(error)) from error
    return entries, counts["beyond"]
