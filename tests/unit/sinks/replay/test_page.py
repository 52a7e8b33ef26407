"""The report: every text is escaped, and nothing in it leads to another host."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from infra.replay.diff import diff
from infra.replay.result import Answer, Diff, Example
from infra.replay.table import LabelTable, Names
from schemas.coordinates import Coordinates
from schemas.records import Decision, Prediction
from schemas.replays import ReplayPlan, ReplayProgress, ReplayState
from sinks.replay.page import page
from tests.support.sink_records import a_jpeg, a_label

NASTY = "<script>fetch('//evil.example/')</script>\x1b[2J\" onload=x '"


def progress(replay_id: str = "try-1", **changes: Any) -> ReplayProgress:
    fields: dict[str, Any] = {
        "replay_id": replay_id, "state": ReplayState.COMPLETED, "topic": "frames.raw", "from_at": 0, "to_at": 1_000_000,
        "started_at": 0, "updated_at": 0, "process": "host/1", "plan": ReplayPlan(2, 2, True), "copied": 2,
    }  # fmt: skip
    return ReplayProgress(**{**fields, **changes})


def found(name: str = "dog", source_id: str = "dock-1", frames: int = 10) -> Diff:
    names = Names()
    live, replay = LabelTable(names), LabelTable(names)
    for offset in range(frames):
        place = Coordinates("frames.raw", 0, offset)
        for table, class_name, decision in ((live, "cat", Decision.ACCEPTED), (replay, name, Decision.REVIEW)):
            label = a_label(
                place, predictions=(Prediction("1", class_name, 0.1 + offset / 20),), source_id=source_id,
                decision=decision, frame_id=f"f{offset}",
            )  # fmt: skip
            table.label(label, place, place)
    return diff("try-1", live.rows(), replay.rows(), names)


def example(**changes: Any) -> Example:
    answer = Answer("1", "cat", 0.9, "ACCEPTED", None, "lite0 1")
    fields: dict[str, Any] = {
        "source": Coordinates("frames.raw", 0, 7), "lane": None, "frame_id": "dock-1/1/7", "source_id": "dock-1",
        "captured_at": 1_764_158_400_000_000, "live": answer, "replay": answer,
    }  # fmt: skip
    return Example(**{**fields, **changes})


class Seen(HTMLParser):
    """The tags of a document with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_it_tells_the_numbers_and_shows_the_pictures() -> None:
    with_examples = found()
    with_examples.examples.append(example())
    with_examples.examples.append(example(frame_id="gone"))
    text = page(with_examples, progress(model="lite0", source_glob="dock-*"), [a_jpeg(), None])
    seen = Seen(text)
    for part in ("Replay try-1", "0 of 10 frames", "model lite0", "sources dock-*", "dog", "the picture is gone"):
        assert part in seen.text
    images = [attributes["src"] or "" for tag, attributes in seen.tags if tag == "img"]
    assert [base64.b64decode(image.removeprefix("data:image/jpeg;base64,")) for image in images] == [a_jpeg()]


def test_it_asks_nobody_for_anything() -> None:
    with_example = found()
    with_example.examples.append(example())
    text = page(with_example, progress(), [a_jpeg()])
    seen = Seen(text)
    assert {tag for tag, _ in seen.tags} & {"script", "iframe", "object", "embed", "base", "form", "a"} == set()
    for tag, attributes in seen.tags:
        assert "style" not in attributes, "the policy forbids styles in attributes"
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, attributes)
    assert "@import" not in text and "url(" not in text
    (style,) = re.findall("<style>(.*)</style>", text, re.DOTALL)
    policy = next(each["content"] or "" for _, each in seen.tags if each.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert f"style-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize("where", ["name", "source", "glob", "example", "note"])
def test_no_text_becomes_markup(where: str) -> None:
    result = found(NASTY if where == "name" else "dog", NASTY if where == "source" else "dock-1")
    if where == "example":
        answer = Answer(NASTY, NASTY, 0.5, NASTY, NASTY, NASTY)
        result.examples.append(example(frame_id=NASTY, source_id=NASTY, live=answer, replay=answer))
    if where == "note":
        result.notes.append(NASTY)
    plain = found()
    plain.examples.extend(example() for _ in result.examples)
    plain.notes.append("x")
    pictures = [a_jpeg()] * len(result.examples)
    told = page(result, progress(source_glob=NASTY if where == "glob" else "x"), pictures)
    assert "\x1b" not in told
    tags = [tag for tag, _ in Seen(told).tags if tag != "p"]
    assert tags == [tag for tag, _ in Seen(page(plain, progress(source_glob="x"), pictures)).tags if tag != "p"]


def test_nothing_to_compare_makes_a_page_too() -> None:
    nothing = found(frames=0)
    assert "No class changed." in page(nothing, progress(), [])
