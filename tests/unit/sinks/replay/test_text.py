"""A comparison as people read it in a terminal."""

import io

from rich.console import Console

from sinks.replay.text import diff_view
from tests.unit.sinks.replay.test_page import NASTY, found


def shown(name: str = "dog", source_id: str = "dock-1", width: int = 120) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(diff_view(found(name, source_id)))
    return console.export_text()


def test_a_terminal_shows_the_numbers_and_no_control_sequence() -> None:
    text = shown()
    for part in ("replay try-1: 10 frames, 0 the same (0.00%), 10 changed", "100.00%", "dog", "dock-1", "not known"):
        assert part in text
    assert "\x1b" not in shown(NASTY, NASTY)


def test_a_narrow_terminal_cuts_no_name() -> None:
    text = shown("n" * 70, "s" * 90, width=80)
    assert "…" not in text
    assert text.count("s" * 30) >= 2 and "100.0%" in text
