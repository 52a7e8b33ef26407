"""The result of a crawl, from the outcomes of its URLs. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ingest.crawl import outcomes
from ingest.crawl.urls import Kind


@dataclass(frozen=True, slots=True)
class Summary:
    """`published` images are frames that the broker acknowledged; `repeated` ones had been published before."""

    pages: int
    images: int
    published: int
    repeated: int
    waiting: int
    refused: Mapping[str, int]
    errors: Mapping[str, int]

    def as_json(self, *, resumed: bool) -> dict[str, Any]:
        """The last line of `sightline crawl --json`."""
        return {
            "pages": self.pages,
            "images": self.images,
            "published": self.published,
            "repeated": self.repeated,
            "refused": dict(self.refused),
            "errors": dict(self.errors),
            "resumed": resumed,
            "waiting": self.waiting,
        }


def summary_of(found: Counter[tuple[str, str]]) -> Summary:
    """`found`: URLs by kind and outcome. A page whose bytes are an image counts as an image."""
    by_outcome: Counter[str] = Counter()
    for (_, outcome), number in found.items():
        by_outcome[outcome] += number
    unchanged = found[Kind.IMAGE, outcomes.UNCHANGED]
    repeated = by_outcome[outcomes.REPEATED] + unchanged
    return Summary(
        pages=by_outcome[outcomes.PAGE] + found[Kind.PAGE, outcomes.UNCHANGED],
        images=by_outcome[outcomes.PUBLISHED] + repeated,
        published=by_outcome[outcomes.PUBLISHED],
        repeated=repeated,
        waiting=by_outcome[outcomes.WAITING],
        refused=_reasons(by_outcome, outcomes.REFUSED),
        errors=_reasons(by_outcome, outcomes.ERROR),
    )


def _reasons(by_outcome: Counter[str], prefix: str) -> dict[str, int]:
    found = sorted((outcome, number) for outcome, number in by_outcome.items() if number)
    return {outcome.removeprefix(prefix): number for outcome, number in found if outcome.startswith(prefix)}
