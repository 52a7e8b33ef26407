"""Where a crawl begins: one URL, or a file with one a line."""

from pathlib import Path

from infra.settings import CrawlSettings
from ingest.crawl.urls import ANYWHERE, Kind, Link, Scope
from schemas.errors import ConfigError

MAX_SEEDS_BYTES = 64 * 1024 * 1024
_SITEMAPS = (".xml", ".xml.gz")
_IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif", ".bmp", ".tif", ".tiff")


def read_seeds(given: str) -> list[Link]:
    """The seeds, each once. Lines that are empty or begin with `#` are left out. Raises ConfigError for a bad one."""
    lines = [given] if "://" in given else _lines(Path(given))
    found: dict[str, Link] = {}
    faults = []
    for line in lines:
        path = line.partition("?")[0].lower()
        kind = Kind.SITEMAP if path.endswith(_SITEMAPS) else Kind.IMAGE if path.endswith(_IMAGES) else Kind.PAGE
        link = ANYWHERE.link("", line, kind)
        if link.refusal is not None:
            faults.append(f"no URL to begin with: {line[:200]} ({link.refusal})")
        found[link.url] = link
    if faults:
        raise ConfigError(*faults[:10])
    if not found:
        raise ConfigError(f"{given} names no URL to begin with")
    return list(found.values())


def scope_of(settings: CrawlSettings, seeds: list[Link]) -> Scope:
    """Without `crawl.domains`, pages are read on the hosts of the seeds."""
    named = frozenset(domain.lower().strip(".") for domain in settings.domains)
    images = frozenset(domain.lower().strip(".") for domain in settings.image_domains)
    return Scope(named or frozenset(seed.host for seed in seeds), images)


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > MAX_SEEDS_BYTES:
            raise ConfigError(f"{path} has more than {MAX_SEEDS_BYTES} bytes: split it")
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise ConfigError(f"--seeds {path}: {error.strerror}; give a URL, or a file with one a line") from error
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
