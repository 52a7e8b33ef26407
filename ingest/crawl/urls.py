"""Which URLs a crawl takes, in the one form in which they are compared and kept. Pure."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urljoin

from yarl import URL

MAX_URL_BYTES = 2048
MAX_HOST_BYTES = 253
ANY_DOMAIN = "*"


class Kind(StrEnum):
    """What a URL was found as; its content decides what it is."""

    PAGE = "page"
    IMAGE = "image"
    SITEMAP = "sitemap"


@dataclass(frozen=True, slots=True)
class Link:
    """A URL that was found. `refusal`: why it will not be requested, as a snake_case word."""

    url: str
    host: str
    kind: Kind
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """The domains of pages and sitemaps, and those of images; a domain covers its sub-domains, `*` everything."""

    domains: frozenset[str]
    image_domains: frozenset[str]

    def link(self, base: str, found: str, kind: Kind) -> Link:
        """The link that stands on the page `base` as `found`."""
        found = found.encode(errors="replace").decode()  # a Location header may hold any bytes
        url = _parse(base, found)
        if isinstance(url, str):
            return Link(_refused_name(found), "", kind, url)
        host = (url.raw_host or "").rstrip(".").lower()
        domains = self.image_domains if kind is Kind.IMAGE else self.domains
        return Link(str(url), host, kind, None if _covers(domains, host) else "other_domain")


ANYWHERE = Scope(frozenset((ANY_DOMAIN,)), frozenset((ANY_DOMAIN,)))


def origin_of(url: str) -> str:
    """Scheme, host and port: what one robots.txt is for."""
    return str(URL(url).origin())


def _parse(base: str, found: str) -> URL | str:
    """The absolute URL without fragment, or why it is none that can be requested."""
    text = found.strip(" \t\r\n\f\x00").translate({9: None, 10: None, 13: None})
    scheme = text[:16].partition(":")[0].lower() if ":" in text[:16] else ""
    if scheme.isalpha() and scheme not in ("http", "https") and not text.startswith("/"):
        return "scheme"
    if len(text) > MAX_URL_BYTES:
        return "long_url"
    try:
        url = URL(urljoin(base, text)).with_fragment(None)
        if url.scheme not in ("http", "https"):
            return "scheme"
        if not url.raw_host or len(url.raw_host) > MAX_HOST_BYTES or not url.port:
            return "bad_url"
        if url.user is not None or url.password is not None:
            return "credentials"
        return url if len(str(url)) <= MAX_URL_BYTES else "long_url"
    except (ValueError, UnicodeError):
        return "bad_url"


def _covers(domains: frozenset[str], host: str) -> bool:
    if ANY_DOMAIN in domains or host in domains:
        return True
    parts = host.split(".")
    return any(".".join(parts[at:]) in domains for at in range(1, len(parts)))


def _refused_name(found: str) -> str:
    """A short name under which a URL is kept that is none: `data:` holds whole images."""
    text = found.strip()
    return (
        text if len(text) <= 120 else f"{text[:60]}...{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:32]}"
    )
