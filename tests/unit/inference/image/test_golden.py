"""The pixels and the quality of pictures in the repository, bit by bit: cached labels count on them."""

from pathlib import Path

import pytest

from inference.image import geometry, quality
from inference.image.preparation import PIXELS_VERSION
from tests.support import golden


def test_the_pixels_are_those_of_this_version() -> None:
    version, before = golden.expected()
    assert version == PIXELS_VERSION, "run `python -m tests.support.golden`"
    made = golden.digests()
    differ = sorted(name for name in made.keys() | before.keys() if made.get(name) != before.get(name))
    assert differ == [], (
        "`prepare` makes other pixels, or another quality, than labels in the cache were made of: raise PIXELS_VERSION "
        "in inference/image/preparation.py, and run `python -m tests.support.golden`"
    )


@pytest.mark.parametrize(("name", "value"), [("DARK_BRIGHTNESS_MAX", 150.0), ("SMEAR_HEIGHT_SHARE", 0.9)])
def test_a_changed_rule_of_quality_is_seen(name: str, value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, name, value)
    assert golden.digests() != golden.expected()[1]


def test_another_way_of_scaling_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "_interpolation", lambda shrink: 0)
    assert golden.digests() != golden.expected()[1]


def test_the_digests_are_not_written_for_the_same_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else a change could be made to look right without telling the cache."""
    kept = tmp_path / "digests.json"
    kept.write_text(golden.DIGESTS.read_text())
    monkeypatch.setattr(golden, "DIGESTS", kept)
    monkeypatch.setattr(golden, "digests", lambda: dict.fromkeys(golden.expected()[1], "other"))
    with pytest.raises(SystemExit, match="raise PIXELS_VERSION"):
        golden.main()
    monkeypatch.setattr(golden, "PIXELS_VERSION", PIXELS_VERSION + 1)
    golden.main()
    assert golden.expected()[0] == PIXELS_VERSION + 1
