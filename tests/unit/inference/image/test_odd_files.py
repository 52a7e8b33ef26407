"""The 208 damaged and unusual files beside the repository, each against its manifest. Skipped where they are not."""

import csv

import pytest

from inference.image import prepare, probe
from schemas.errors import BadFrame
from schemas.records import PixelEncoding
from tests.support.images import MAX_PIXELS, Square, decode_rgb
from tests.support.paths import SHARED

ODD = SHARED / "data" / "odd"
MANIFEST = ODD / "manifest.csv"
REASONS = {"empty", "not_an_image", "unsupported_format", "truncated", "too_many_pixels", "decode_failed"}

pytestmark = pytest.mark.skipif(not MANIFEST.exists(), reason="no ../shared/data/odd")


def rows(*expected: str) -> list[dict[str, str]]:
    if not MANIFEST.exists():
        return []
    with MANIFEST.open(newline="") as lines:
        return [row for row in csv.DictReader(lines) if row["expected_decodable"] in expected]


def by_file(row: dict[str, str]) -> str:
    return row["file"]


@pytest.mark.parametrize("row", rows("yes"), ids=by_file)
def test_what_should_decode_does_in_its_upright_size(row: dict[str, str]) -> None:
    data = (ODD / row["file"]).read_bytes()
    size = int(row["upright_width"]), int(row["upright_height"])
    rgb = decode_rgb(data, 10**6, MAX_PIXELS)
    assert (rgb.shape[1], rgb.shape[0]) == size
    prepared = prepare(data, Square(), PixelEncoding.I420, MAX_PIXELS)
    assert prepared.info.upright_size == size
    assert len(prepared.pixels) == 75_264
    assert probe(data, MAX_PIXELS).format == prepared.info.format


@pytest.mark.parametrize("row", rows("no"), ids=by_file)
def test_what_should_not_decode_is_refused_with_a_reason(row: dict[str, str]) -> None:
    data = (ODD / row["file"]).read_bytes()
    with pytest.raises(BadFrame) as caught:
        prepare(data, Square(), PixelEncoding.I420, MAX_PIXELS)
    assert caught.value.reason in REASONS
    if "truncated" in row["file"]:
        assert caught.value.reason == "truncated"
    if "bomb" in row["file"] and not row["file"].endswith(".ico"):
        assert caught.value.reason == "too_many_pixels"


@pytest.mark.parametrize("row", rows("either"), ids=by_file)
def test_what_may_go_either_way_goes_one_of_them(row: dict[str, str]) -> None:
    data = (ODD / row["file"]).read_bytes()
    try:
        assert len(prepare(data, Square(), PixelEncoding.I420, MAX_PIXELS).pixels) == 75_264
    except BadFrame as fault:
        assert fault.reason in REASONS
