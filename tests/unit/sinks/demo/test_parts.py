"""The figures and pictures of the demo, and its configuration of cameras."""

import io
import json
import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from infra.audit.balance import Balance
from infra.lag.rules.bottleneck import Bottleneck
from schemas.coordinates import Coordinates
from schemas.errors import ConfigError
from schemas.records import Decision, Origin, Prediction
from sinks.demo.cameras import DEFAULT_SOURCES, published_counts, write_cameras
from sinks.demo.quantiles import LatencyHistogram
from sinks.demo.stats import MAX_CAMERAS, DemoStats, Rate, summary
from sinks.demo.view import describe, live_picture, progress_line
from tests.support.sink_records import a_label


@given(st.lists(st.floats(0.1, 3_000_000), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_quantiles_are_right_within_three_percent(values: list[float], share: float) -> None:
    histogram = LatencyHistogram()
    for value in values:
        histogram.add(value)
    exact = sorted(values)[math.ceil(share * len(values)) - 1]
    assert histogram.quantile_ms(share) == pytest.approx(exact, rel=0.03)


def test_a_histogram_takes_anything_and_says_nothing_about_nothing() -> None:
    histogram = LatencyHistogram()
    assert histogram.quantile_ms(0.5) is None
    for value in (-5.0, 0.0, 1e12):
        histogram.add(value)
    assert histogram.count == 3


def test_a_rate_forgets_what_is_long_ago() -> None:
    rate = Rate()
    assert rate.per_s() == 0.0
    for second in range(20):
        rate.mark(float(second), 0 if second < 10 else (second - 9) * 8)
    assert rate.per_s() == pytest.approx(8.0)


def some_stats() -> DemoStats:
    stats = DemoStats()
    stats.label(a_label(captured_at=0, labelled_at=80_000))
    stats.label(a_label(captured_at=1_000, labelled_at=41_000, origin=Origin.CACHE_EXACT))
    stats.label(a_label(captured_at=500, labelled_at=41_000, predictions=(Prediction("1", "daisy [bold]", 0.2),)))
    stats.label(a_label(source_id="yard", decision=Decision.REVIEW, origin=Origin.CACHE_NEAR))
    stats.label(a_label(source_id="\x1b[2Jevil", predictions=()))
    stats.dead_letter()
    stats.tick(10.0, 8, {"dock-1": 3, "silent": 0})
    stats.tick(12.0, 9, {"dock-1": 13, "silent": 0})
    return stats


def test_stats_keep_the_newest_label_by_capture_time_and_know_what_is_under_way() -> None:
    stats = some_stats()
    last = stats.cameras["dock-1"].last
    assert last is not None and last.captured_at == 1_000
    assert (stats.labels, stats.dead, stats.frames, stats.lag()) == (5, 1, 9, 3)
    assert stats.cameras["dock-1"].fps == pytest.approx(5.0)
    assert stats.cache_share() == pytest.approx(0.4)


def test_stats_stay_bounded_over_any_number_of_cameras() -> None:
    stats = DemoStats()
    for number in range(MAX_CAMERAS + 50):
        stats.label(a_label(source_id=f"camera-{number}"))
    assert (len(stats.cameras), stats.labels) == (MAX_CAMERAS, MAX_CAMERAS + 50)


def test_the_summary_is_the_contract() -> None:
    result = summary(some_stats(), Balance(6, 5, 1, 0, [], 0), 3.0)
    assert json.loads(json.dumps(result)) == result
    assert set(result) == {
        "frames",
        "labels",
        "dead",
        "accounted",
        "frames_per_s",
        "latency_ms",
        "cache",
        "top",
    }
    assert (result["frames"], result["accounted"], result["frames_per_s"]) == (6, True, 2.0)
    assert result["cache"] == {"exact": 1, "near": 1, "miss": 3}
    assert result["top"][0] == {"name": "espresso", "count": 3}
    assert set(result["latency_ms"]) == {"p50", "p95", "p99"}
    empty = summary(DemoStats(), Balance(0, 0, 0, 0, [], 0), 0.0)
    assert empty["latency_ms"] == {"p50": None, "p95": None, "p99": None}


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_the_picture_fits_any_terminal_and_obeys_no_label(width: int) -> None:
    text = rendered(live_picture(some_stats(), 75.0, "Ctrl-C ends"), width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "01:15" in text
    assert "\x1b" not in text
    if width >= 120:
        for word in ("espresso", "91%", "dock-1", "5.0", "dead letters 1", "on their way 3 frames", "cache hits 40%"):
            assert word in text


def test_a_progress_line_is_one_line() -> None:
    line = progress_line(some_stats(), 5.0)
    assert line.startswith("00:05")
    assert "\n" not in line
    assert "dock-1 espresso 91%" in line


def test_the_verdict_stands_in_the_table_and_in_the_line() -> None:
    stats = some_stats()
    assert "bottleneck" not in rendered(live_picture(stats, 75.0, ""), 120) + progress_line(stats, 5.0)
    stats.verdict(Bottleneck("none", ""))
    assert "bottleneck: none, labels keep up" in rendered(live_picture(stats, 75.0, ""), 120)
    assert "bottleneck" not in progress_line(stats, 5.0)
    stats.verdict(Bottleneck("infer", "finishes 60.0 of 100.0 frames/s; stream waits for it", "slow", 1200, None))
    line = "bottleneck: infer (finishes 60.0 of 100.0 frames/s; stream waits for it), 1,200 frames wait"
    assert line in rendered(live_picture(stats, 75.0, ""), 120)
    assert line in progress_line(stats, 5.0)


@pytest.mark.parametrize("accounted", [True, False])
def test_the_summary_for_people_says_the_verdict(accounted: bool) -> None:
    missing = [] if accounted else [Coordinates("frames.raw", 0, 1)]
    text = rendered(describe(summary(some_stats(), Balance(6, 5, 1, 0, missing, len(missing)), 3.0), ["a note"]), 100)
    assert ("✓ every frame is accounted for" in text) is accounted
    assert ("✗ not every frame" in text) is not accounted
    assert "note: a note" in text


def test_cameras_are_written_for_one_agent_without_their_passwords(tmp_path: Path) -> None:
    photo = tmp_path / "photo one.jpg"
    photo.write_bytes(b"x")
    secret = "rtsp://user:pass@10.0.0.7/1"
    cameras = write_cameras(tmp_path / "demo", [secret, str(photo), "sim:coffee", "sim:coffee"], 2.0)
    text = cameras.config.read_text()
    tables: list[dict[str, Any]] = tomllib.loads(text)["camera"]
    assert "pass" not in text
    assert [cameras.environment[table["source"][2:-1]] for table in tables] == [secret, str(photo), *["sim:coffee"] * 2]
    assert all(table["loop"] is True and table["fps"] == 2.0 for table in tables)
    assert [table.get("id") for table in tables] == [None, None, None, "camera-4"]


def test_a_file_that_is_not_there_is_named_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.mp4: no such file"):
        write_cameras(tmp_path, [*DEFAULT_SOURCES, "nowhere.mp4"], 5.0)


def test_what_is_no_path_is_left_to_the_agent_which_knows_all_spellings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [
        "0",
        "usb0",
        "/dev/video0",
        "joe:word@camera",
        "joe@camera/1",
        "rtsp:/joe:word@camera",
        "file:///none.mp4",
    ]
    sources.append("rtsp://camera/?token=" + "x" * 400)
    assert list(write_cameras(tmp_path, sources, 5.0).environment.values()) == sources
    (tmp_path / "photo@home:1.jpg").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    [found] = write_cameras(tmp_path, ["photo@home:1.jpg"], 5.0).environment.values()
    assert found == str(tmp_path / "photo@home:1.jpg")


def test_published_counts_come_from_the_agents_metrics() -> None:
    text = (
        "# HELP sightline_source_frames_published_total x\n# TYPE sightline_camera_frames_published_total counter\n"
        'sightline_source_frames_published_total{source_id="dock-1"} 12.0\n'
        'sightline_source_frames_captured_total{source_id="dock-1"} 99.0\n'
    )
    assert published_counts(text) == {"dock-1": 12}
    assert published_counts("") == {}


def rendered(picture: Any, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
    console.print(picture)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()
