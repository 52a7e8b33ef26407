"""The report of a replay in a real browser: it asks no host for anything, and its own style is in force."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sinks.replay.page import page
from tests.support.browser import chromium, hosts_asked_for, run_chromium
from tests.support.sink_records import a_jpeg
from tests.unit.sinks.replay.test_page import example, found, progress

pytestmark = pytest.mark.skipif(chromium() is None, reason="Chromium is not installed (apt-get install chromium)")


@pytest.fixture
def report(tmp_path: Path) -> Iterator[Path]:
    result = found()
    result.examples.extend(example(frame_id=f"dock-1/1/{number}") for number in range(3))
    path = tmp_path / "report.html"
    path.write_text(page(result, progress(), [a_jpeg(), a_jpeg((20, 40, 220)), None]))
    yield path


def test_it_opens_without_a_request_to_any_host(report: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.html"
    empty.write_text('<!doctype html><link rel="icon" href="data:,"><p>nothing</p>')
    own = hosts_asked_for(empty, tmp_path / "a")
    assert hosts_asked_for(report, tmp_path / "b") - own == set()
    # The test would notice: the same page with a picture from elsewhere, without and with the policy of the report.
    leak = '<img src="http://tracker.example/p.png"><script>fetch("http://script.example/")</script></main>'
    leaky = tmp_path / "leaky.html"
    leaky.write_text(empty.read_text() + leak)
    assert {"tracker.example", "script.example"} <= hosts_asked_for(leaky, tmp_path / "c")
    leaky.write_text(report.read_text().replace("</main>", leak))
    assert hosts_asked_for(leaky, tmp_path / "d") - own == set(), "the policy holds where escaping would fail"


def test_it_shows_the_numbers_the_pictures_and_its_own_style(report: Path, tmp_path: Path) -> None:
    shown = run_chromium(report, tmp_path / "a", "--dump-dom")
    for part in ("Replay try-1", "0 of 10 frames", "the picture is gone", 'src="data:image/jpeg;base64,'):
        assert part in shown
    picture = tmp_path / "shot.png"
    run_chromium(report, tmp_path / "b", f"--screenshot={picture}", "--window-size=1200,2400")
    with Image.open(picture) as opened:
        image = opened.convert("RGB")
    assert image.getpixel((3, 3)) == (0xF5, 0xF7, 0xFA), "the ground of report.css: the policy lets the style in"
    pixels = np.asarray(image).astype(int)
    blue = (pixels[..., 2] > 180) & (pixels[..., 0] < 60) & (pixels[..., 1] < 80)
    assert blue.sum() > 5_000, "the second picture"
