"""The text of a page, and the links in it. Pure."""

import codecs
import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser

from ingest.crawl.urls import ANYWHERE, Kind

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
_BLOCKS = _ENDS.keys() | {
    *("article", "aside", "body", "button", "details", "div", "dl", "fieldset", "figure", "footer", "form", "header"),
    *("html", "main", "nav", "ol", "section", "table", "ul"),
}
# So far an end tag is looked for among the innermost elements.
_END_REACH = 16
# Browsers end nesting here too. The time of a parser grows with the depth for each tag.
MAX_NESTING = 512
# The time of a parser grows with the square of the attributes of an element. In a script "i<n" looks like a tag, too.
MAX_ATTRIBUTES = 4_000
# As HTML is read after the name of a tag: possessive, so that the time is that of one look at each character.
_ATTRIBUTE = r"""[ \t\n\f\r/]*+[^ \t\n\f\r/>][^ \t\n\f\r/>=]*+"""
_ATTRIBUTE += r"""(?:[ \t\n\f\r]*+=[ \t\n\f\r]*+(?:"[^"]*+"|'[^']*+'|[^ \t\n\f\r>]*+))?+"""
_ATTRIBUTES = re.compile(rf"[^ \t\n\f\r/>]*+(?:{_ATTRIBUTE}){{0,{MAX_ATTRIBUTES}}}+")
_ONE_MORE = re.compile(_ATTRIBUTE)
# Tags in one another's attributes are looked at again; more of that than this is no page.
_MAX_LOOKS = 4


class TooNested(Exception):
    """More elements in one another, or attributes on an element, than a page has."""


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
    if _nesting(text) > MAX_NESTING or _is_crowded(text):
        raise TooNested
    tree = LexborHTMLParser(text)
    head_base = tree.css_first("base[href]")
    base = _base(base, head_base.attributes.get("href") or "") if head_base is not None else base
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


def _base(page: str, found: str) -> str:
    """What the links of a page are relative to. One that no link could be joined to, or in little time, is ignored."""
    link = ANYWHERE.link(page, found, Kind.PAGE)
    return page if link.refusal else link.url


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


def _is_crowded(text: str) -> bool:
    """Whether an element has more than MAX_ATTRIBUTES, as far as its tag alone tells."""
    left = _MAX_LOOKS * len(text)
    for tag in _TAG.finditer(text):
        attributes = _ATTRIBUTES.match(text, tag.end())
        end = attributes.end() if attributes else tag.end()
        left -= end - tag.end()
        if left < 0 or (end - tag.end() > MAX_ATTRIBUTES and _ONE_MORE.match(text, end)):
            return True
    return False


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
