"""`sightline dead list|show|export` on a real broker."""

import json
import time
from pathlib import Path

from schemas import codec
from schemas.coordinates import Coordinates
from schemas.headers import Failure, redriven_headers
from tests.support.runner import Runner
from tests.support.sink_records import Wire, a_frame, a_jpeg


def frame_at(wire: Wire, offset: int) -> Coordinates:
    return Coordinates(wire.topics.frames, 1, offset)


def test_list_filters_by_stage_error_and_source_and_tells_what_was_redriven(sightline: Runner, wire: Wire) -> None:
    first = wire.dead(frame_at(wire, 0))
    wire.dead(frame_at(wire, 1), stage="infer", error_class="ModelError", key="yard-2", attempt=3)
    wire.send(wire.topics.dead, b"a stranger", key="alien")
    failure = Failure(frame_at(wire, 0), 0, "decode", "x", "", 0)
    wire.send(wire.topics.dead, None, partition=1, headers=redriven_headers(failure, first.partition, first.offset))

    lines = [json.loads(line) for line in sightline.run("dead", "list", "--json").stdout.splitlines()]
    assert [(line["source_id"], line["stage"], line["error"], line["redriven"]) for line in lines] == [
        ("alien", "", "", False),
        ("dock-1", "decode", "not_an_image", True),
        ("yard-2", "infer", "ModelError", False),
    ]
    assert lines[2]["origin"] | {"timestamp": ""} == {
        "topic": wire.topics.frames,
        "partition": 1,
        "offset": 1,
        "timestamp": "",
    }
    assert (lines[2]["attempt"], lines[0]["origin"], lines[1]["size"]) == (3, None, 8)
    for words in (["--stage", "inf*"], ["--error", "Model*"], ["--source-id", "yard-*"]):
        done = sightline.run("dead", "list", "--json", *words)
        assert [json.loads(line)["source_id"] for line in done.stdout.splitlines()] == ["yard-2"]
    assert sightline.run("dead", "list", "--json", "--from", "+1h").stdout == ""
    text = sightline.run("dead", "list", "--limit", "2")
    assert text.returncode == 0
    assert "2 dead letters" in text.stdout and "and 1 more" in text.stdout
    cut = sightline.run("dead", "list", "--limit", "2", "--json")
    assert (len(cut.stdout.splitlines()), "and 1 more: raise --limit" in cut.stderr) == (2, True)


def test_a_range_of_time_is_by_each_letters_own_timestamp(sightline: Runner, wire: Wire) -> None:
    now_ms = time.time_ns() // 1_000_000
    for minutes_ago in (10, 90, 30, 5):
        wire.send(wire.topics.dead, b"a stranger", timestamp_ms=now_ms - minutes_ago * 60_000)
    listed = sightline.run("dead", "list", "--json", "--from", "-1h", "--to", "-7m").stdout.splitlines()
    assert [json.loads(line)["offset"] for line in listed] == [0, 2]


def test_show_gives_one_letter_in_full(sightline: Runner, wire: Wire) -> None:
    place = wire.dead(frame_at(wire, 5), codec.encode(a_frame(5)), stage="infer", error_class="ModelError")
    fields = json.loads(sightline.run("dead", "show", f"{place.partition}/{place.offset}", "--json").stdout)
    assert fields["frame"]["frame_id"] == "dock-1/1/5"
    assert fields["headers"]["sightline-error-class"] == "ModelError"
    assert fields["first_bytes"].startswith("c301")
    text = sightline.run("dead", "show", f"{wire.topics.dead}-{place.partition}-{place.offset}")
    assert text.returncode == 0
    assert f"{wire.topics.frames}/1 offset 5" in text.stdout
    away = sightline.run("dead", "show", "1/999")
    assert (away.returncode, "no dead letter 1/999" in away.stderr) == (2, True)


def test_export_writes_images_raw_bytes_and_a_manifest(sightline: Runner, wire: Wire, tmp_path: Path) -> None:
    wire.dead(frame_at(wire, 0), codec.encode(a_frame(0)))
    wire.dead(frame_at(wire, 1), b"raw bytes", key="../../evil")
    folder = tmp_path / "out"
    mistyped = sightline.run("dead", "export", "--to-dir", str(folder), "--from", "yesterday")
    assert (mistyped.returncode, "'yesterday' is not a time" in mistyped.stderr, folder.exists()) == (2, True, False)
    done = sightline.run("dead", "export", "--to-dir", str(folder))
    assert (done.returncode, done.stdout) == (0, f"2 dead letters in {folder}\n")
    assert sorted(path.name for path in folder.iterdir()) == [
        "1-0_dock-1_not-an-image.jpg",
        "1-1_evil_not-an-image.bin",
        "manifest.jsonl",
    ]
    assert (folder / "1-0_dock-1_not-an-image.jpg").read_bytes() == a_jpeg()
    again = sightline.run("dead", "export", "--to-dir", str(folder))
    assert (again.returncode, "export already" in again.stderr) == (2, True)
    cut = sightline.run("dead", "export", "--to-dir", str(tmp_path / "cut"), "--limit", "1", "--from", "1969-01-01")
    assert (cut.returncode, cut.stdout) == (0, f"1 dead letters in {tmp_path / 'cut'}\n")
    assert cut.stderr == "sightline: there are more than 1: raise --limit\n"
