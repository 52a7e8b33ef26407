"""The committed pictures are what their scripts draw now, and name files that exist."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PICTURES = ROOT / "docs" / "pictures"


@pytest.mark.parametrize("name", ["frame_path", "live_table", "dashboards"])
def test_the_picture_is_up_to_date(name: str) -> None:
    drawn = runpy.run_path(str(PICTURES / f"{name}.py"))[name]()

    assert drawn == (PICTURES / f"{name}.svg").read_text(), f"draw it again: python -m docs.pictures.{name}"


def test_files_that_the_frame_path_shows_exist() -> None:
    shown = re.findall(r'class="muted file"[^>]*>([^<]+)<', (PICTURES / "frame_path.svg").read_text())

    assert len(shown) > 15
    assert [path for path in shown if not (ROOT / path).exists()] == []


def test_the_frame_path_is_readable_in_dark_mode_too() -> None:
    """Every class that has a colour in light mode has one of its own in dark mode."""
    style = (PICTURES / "frame_path.svg").read_text().partition("</style>")[0]
    light, _, dark = style.partition("@media (prefers-color-scheme: dark)")
    coloured = set(re.findall(r"^\.([a-z-]+) \{", light, re.MULTILINE))

    assert coloured
    assert coloured <= set(re.findall(r"^\.([a-z-]+) \{", dark, re.MULTILINE))
