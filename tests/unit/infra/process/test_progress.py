import pytest
from rich.progress import TextColumn

from infra.process.progress import ProgressDisplay

COLUMN = "{task.description} {task.completed}/{task.total} {task.fields[more]}"


def display(**given: float) -> ProgressDisplay:
    return ProgressDisplay(TextColumn(COLUMN, markup=False), **{"line_every_s": 0.0, **given})


def test_away_from_a_terminal_each_new_line_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    with display() as shown:
        for line in ("1 page", "1 page", "2 pages"):
            shown.update(line)
        shown.update("3 pages", "[/of] " + "x" * 200)
    out, errors = capsys.readouterr()
    assert (out, errors.splitlines()) == ("", ["1 page", "2 pages", "3 pages: [/of] " + "x" * 200])


def test_lines_keep_their_distance(capsys: pytest.CaptureFixture[str]) -> None:
    with display(line_every_s=60.0) as shown, display(first_line_s=60.0) as later:
        shown.update("one")
        shown.update("two")
        later.update("nothing yet")
    assert capsys.readouterr().err.splitlines() == ["one"]


def test_a_terminal_has_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with display() as shown:
        shown.update("copying", "[/of]", 3, 9)
    assert "copying 3/9 [/of]" in capsys.readouterr().err
