"""The entries of a sitemap. Pure."""

from xml.parsers import expat

from ingest.crawl.content import Damaged
from ingest.crawl.urls import Kind


def sitemap_entries(body: bytes, max_entries: int) -> tuple[list[tuple[str, Kind]], int]:
    """The entries of a sitemap or of an index of sitemaps (sitemaps.org, with Google's images), and how many beyond.

    Raises Damaged for what is no sitemap. Entities are refused, and so are documents that define them.
    """
    entries: list[tuple[str, Kind]] = []
    path: list[str] = []
    text: list[str] = []
    beyond = 0

    def start(name: str, _attributes: object) -> None:
        path.append(name.rpartition(" ")[2].rpartition(":")[2])
        if len(path) > 16:
            raise Damaged("elements are nested too deeply")
        text.clear()

    def end(_name: str) -> None:
        nonlocal beyond
        parent, name = path[-2:] if len(path) > 1 else ("", path[-1])
        path.pop()
        if name != "loc":
            return
        kind = {"sitemap": Kind.SITEMAP, "url": Kind.PAGE, "image": Kind.IMAGE}.get(parent)
        if kind is not None and len(entries) < max_entries:
            entries.append(("".join(text).strip(), kind))
        elif kind is not None:
            beyond += 1

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
    except (expat.ExpatError, LookupError, ValueError) as error:  # the latter two: an encoding that expat cannot have
        raise Damaged(str(error)) from error
    return entries, beyond
