"""`sightline crawl`: publishes the images of web sites on `frames.raw`."""

import hashlib
import json
from pathlib import Path
from typing import Annotated

import typer

from infra.commands.options import HttpPortOption, JsonOption
from infra.kafka.start_checks import require_topics
from infra.kafka.topics import TopicNames
from infra.process import logs, tracing
from infra.process.lifecycle import Stop
from infra.settings import home, load_settings
from ingest.crawl.seeds import read_seeds
from ingest.crawl.service import run_crawl
from ingest.crawl.summary import Summary
from schemas.errors import SightlineError

SeedsOption = Annotated[
    str, typer.Option("--seeds", metavar="FILE|URL", help="Where to begin: a URL, or a file with one a line.")
]
StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        help="The file that remembers the crawl (default: one for these seeds in SIGHTLINE_HOME).",
        show_default=False,
    ),
]
DomainOption = Annotated[
    list[str] | None,
    typer.Option(
        "--domain",
        help="Read pages of this domain, '*' of all; may be given several times (default: crawl.domains, or the hosts "
        "of the seeds).",
        show_default=False,
    ),
]
DepthOption = Annotated[int | None, typer.Option("--max-depth", help="Links from a seed.", show_default=False)]
PagesOption = Annotated[int | None, typer.Option("--max-pages", help="Requests for pages.", show_default=False)]
ImagesOption = Annotated[int | None, typer.Option("--max-images", help="Requests for images.", show_default=False)]


def command(
    seeds: SeedsOption,
    state: StateOption = None,
    domain: DomainOption = None,
    max_depth: DepthOption = None,
    max_pages: PagesOption = None,
    max_images: ImagesOption = None,
    as_json: JsonOption = False,
    http_port: HttpPortOption = None,
) -> None:
    """Publish the images of web sites; pages and sitemaps lead to them.

    It keeps to robots.txt, asks each host at its own pace, and connects to addresses of the public internet alone. A
    crawl that was stopped or killed goes on where it was; one that was finished asks again for what has changed.
    """
    given = {"max_depth": max_depth, "max_pages": max_pages, "max_images": max_images, "domains": domain or None}
    settings = load_settings({"crawl": given, "http": {"port": http_port}})
    logs.setup(settings.log)
    links = read_seeds(seeds)
    file = state or home() / "crawl" / f"{hashlib.sha256(seeds.encode()).hexdigest()[:12]}.sqlite"
    with tracing.running(settings.tracing, "sightline-crawl"):
        require_topics(settings, writes=[TopicNames.for_lane(settings.topic_prefix).frames])
        summary, resumed = run_crawl(settings, links, file, Stop().install())
    print(json.dumps(summary.as_json(resumed=resumed)) if as_json else text_of(summary, file))
    if not (summary.pages or summary.images or summary.waiting):
        raise SightlineError(f"neither a page nor an image could be taken from {seeds}")


def text_of(summary: Summary, state: Path) -> str:
    """The result for people. Pure."""
    lines = [
        f"{summary.pages:,} pages, {summary.images:,} images: {summary.published:,} published, "
        f"{summary.repeated:,} repeated"
    ]
    for name, reasons in (("refused", summary.refused), ("errors", summary.errors)):
        if reasons:
            lines.append(f"{name}: " + ", ".join(f"{reason} {number:,}" for reason, number in reasons.items()))
    if summary.waiting:
        lines.append(f"{summary.waiting:,} URLs wait: the same command goes on ({state})")
    return "\n".join(lines)
