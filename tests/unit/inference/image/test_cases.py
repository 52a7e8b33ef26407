"""Pictures as people reported them, beside the repository. Skipped where they are not."""

import csv

import pytest

from inference.image import prepare
from inference.labelling.decide import REVIEW_FLAGS
from schemas.records import PixelEncoding
from tests.support.images import MAX_PIXELS, Square
from tests.support.paths import SHARED

CASES = SHARED / "cases" / "images"
MANIFEST = CASES / "manifest.csv"

pytestmark = pytest.mark.skipif(not MANIFEST.exists(), reason="no ../shared/cases/images")


def names() -> list[str]:
    if not MANIFEST.exists():
        return []
    with MANIFEST.open(newline="") as lines:
        return [row["file"] for row in csv.DictReader(lines) if row["expected"] == "label"]


@pytest.mark.parametrize("name", names())
def test_a_reported_picture_gets_a_label_and_a_review_only_where_rows_are_missing(name: str) -> None:
    quality = prepare((CASES / name).read_bytes(), Square(), PixelEncoding.I420, MAX_PIXELS).quality
    assert bool(set(quality.flags) & set(REVIEW_FLAGS)) == ("60_percent" in name)
