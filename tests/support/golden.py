"""Pictures in the repository, and the digests of what `prepare` makes of them: `python -m tests.support.golden`.

The pictures stay as they are: encoders change as decoders do. The digests are written anew, and only once
`PIXELS_VERSION` was raised; so a change of the pixels cannot pass unseen.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2

from inference.image import SampleRange, Size, prepare
from inference.image.preparation import PIXELS_VERSION
from schemas.records import PixelEncoding
from tests.support.images import MAX_PIXELS
from tests.support.paths import ROOT

FOLDER = ROOT / "tests" / "unit" / "inference" / "image" / "golden"
DIGESTS = FOLDER / "digests.json"
# Enlarged, reduced and as it is; square and not; even and odd; longer than `resize`.
SIZES = (Size(56, 56, 64), Size(45, 33, 40), Size(331, 299, 340), Size(75, 100, 60))
RANGES = ("auto", "full", "7000-9200")


def pictures() -> list[Path]:
    return sorted(path for path in FOLDER.iterdir() if path != DIGESTS)


def digests() -> dict[str, str]:
    """By picture, size, encoding and sample range: the digest of the pixels and of the quality.

    Without IPP, whose enlarged pixels differ by a level from one kind of CPU to another.
    """
    with_ipp = cv2.ipp.useIPP()
    cv2.ipp.setUseIPP(False)
    try:
        return {name: digest for path in pictures() for name, digest in _digests_of(path)}
    finally:
        cv2.ipp.setUseIPP(with_ipp)


def _digests_of(path: Path) -> Iterator[tuple[str, str]]:
    data = path.read_bytes()
    for size in SIZES:
        for encoding in (PixelEncoding.I420, PixelEncoding.RGB24):
            for text in RANGES if "16" in path.name else RANGES[:1]:
                made = prepare(data, size, encoding, MAX_PIXELS, SampleRange.parse(text))
                quality = made.quality
                # Sums of floats differ in their last digits from one CPU to another.
                figures = [round(each, 2) for each in (quality.blur, quality.brightness, quality.contrast)]
                content = made.pixels + json.dumps([figures, quality.flags]).encode()
                name = f"{path.name} {size.width}x{size.height} of {size.resize} {encoding} {text}"
                yield name, hashlib.sha256(content).hexdigest()[:16]


def expected() -> tuple[int, dict[str, str]]:
    """The version that the digests in the repository are of, and the digests."""
    written = json.loads(DIGESTS.read_text())
    return written["version"], written["digests"]


def main() -> None:
    made = digests()
    version, before = expected() if DIGESTS.exists() else (PIXELS_VERSION - 1, {})
    if version == PIXELS_VERSION and any(made.get(name) != digest for name, digest in before.items()):
        sys.exit("the pixels differ: raise PIXELS_VERSION in inference/image/preparation.py first")
    DIGESTS.write_text(json.dumps({"version": PIXELS_VERSION, "digests": made}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
