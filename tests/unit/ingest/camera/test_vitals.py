"""How a camera's connection is judged, and what `camera status` makes of it."""

import io
import json

import pytest
from rich.console import Console

from ingest.camera.status_command import camera_rows, table_of
from ingest.camera.vitals import HOUR_S, MAX_EVENTS, LastHour, Vitals, quality_of
from schemas.codec import decode, encode
from schemas.records import ProcessStatus, SourceStatus


@pytest.mark.parametrize(
    ("fps", "expected", "reconnects", "stalls", "quality"),
    [
        (5.0, 5.0, 0, 0, "excellent"),
        (4.5, 5.0, 0, 4, "excellent"),
        (4.4, 5.0, 0, 0, "fair"),
        (5.0, 5.0, 0, 5, "fair"),
        (3.0, 5.0, 2, 50, "fair"),
        (2.9, 5.0, 0, 0, "poor"),
        (5.0, 5.0, 3, 0, "poor"),
        (5.0, 5.0, 11, 0, "unusable"),
        (0.9, 5.0, 0, 0, "unusable"),
        (2.0, 5.0, 0, 101, "unusable"),
        (0.0, 5.0, 0, 0, "unusable"),
        (0.5, 0.5, 0, 0, "excellent"),
        (0.2, 0.5, 0, 0, "unusable"),
    ],
)
def test_quality_by_frigates_rule(fps: float, expected: float, reconnects: int, stalls: int, quality: str) -> None:
    assert quality_of(fps, expected, reconnects, stalls) == quality


def test_only_the_last_hour_counts_and_its_memory_is_bounded() -> None:
    events = LastHour()
    for at_s in range(3 * MAX_EVENTS):
        events.add(float(at_s))
    assert events.count(3.0 * MAX_EVENTS) == MAX_EVENTS
    assert events.count(3.0 * MAX_EVENTS + HOUR_S + 1) == 0


def test_a_gap_is_a_stall_by_the_rate_that_the_camera_can_give() -> None:
    vitals = Vitals(fps=10)
    vitals.opened(0.5)  # announces a frame every 2 s
    for at_s in (0.0, 2.0, 5.9, 10.0):
        vitals.frame(at_s)
    assert (vitals.expected_per_s, vitals.stalls.count(10.0)) == (0.5, 1)
    vitals.lost(20.0, stalled=True)
    vitals.opened(25.0)
    vitals.frame(60.0)
    assert (vitals.expected_per_s, vitals.stalls.count(60.0), vitals.reconnects.count(60.0)) == (10, 2, 1)


def test_status_tells_all_of_it_as_text_and_as_json() -> None:
    dock = SourceStatus("dock", "up", 4.9, 8_000_000, None, 5.0, 5.0, 0, 1, "excellent", {"corrupt": 2})
    gate = SourceStatus("gate", "down", 0.0, None, "it answers HTTP 503 [busy]", 0.0, 5.0, 12, 3, "unusable")
    said = ProcessStatus("ingest/a/1", "ingest", "live", 10_000_000, sources=(gate, dock))
    other = ProcessStatus("stream/a/2", "stream", "live", 10_000_000)
    rows = camera_rows([decode(ProcessStatus, encode(said)), other], 10_000_000)
    assert [row["source_id"] for row in rows] == ["dock", "gate"]
    first = json.loads(json.dumps(rows[0]))
    assert (first["fps"], first["expected_fps"], first["last_frame_age_s"]) == (5.0, 5.0, 2.0)
    assert (first["dropped"], first["quality"], first["stalls_last_hour"]) == ({"corrupt": 2}, "excellent", 1)
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(table_of(rows))
    text = console.export_text()
    for words in ("5 of 5", "2.0 s ago", "2 corrupt", "never", "unusable", "it answers HTTP 503 [busy]"):
        assert words in text
