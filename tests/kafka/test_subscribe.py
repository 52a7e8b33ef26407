"""`sightline subscribe` as people and programs run it, on a real broker."""

import json
import os
import signal
import subprocess
import time

import pytest

from schemas.coordinates import Coordinates
from schemas.records import Decision, Prediction
from tests.support.deployment import Deployment
from tests.support.runner import COMMAND, Runner, Running
from tests.support.sink_records import Wire

SOURCES = [Coordinates("frames.raw", 0, offset) for offset in range(5)]


def wait_for_lines(process: Running, count: int, timeout_s: float = 30.0) -> list[dict[str, object]]:
    until = time.monotonic() + timeout_s
    while len(lines := process.json_lines()) < count:
        assert time.monotonic() < until, f"{lines}\n{process.stderr}"
        time.sleep(0.05)
    return lines


def follow(sightline: Runner, wire: Wire, *words: str) -> Running:
    """Start a subscriber, and send labels until it shows one, so that it is known to read from then on."""
    process = sightline.start("subscribe", "--format", "json", *words, http=False)
    until = time.monotonic() + 30
    while not process.json_lines():
        wire.label(Coordinates("frames.raw", 3, 0), source_id="hello")
        assert time.monotonic() < until, process.stderr
        time.sleep(0.2)
    time.sleep(0.5)
    return process


def test_from_a_time_on_with_a_limit_it_gives_exactly_these_lines(sightline: Runner, wire: Wire) -> None:
    wire.labels(SOURCES)
    done = sightline.run("subscribe", "--from", "-1h", "--limit", "3")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["source"]["offset"] for line in lines] == [0, 1, 2]
    assert [(line["topic"], line["partition"], line["offset"]) for line in lines] == [
        (wire.topics.labels, 0, offset) for offset in range(3)
    ]


def test_without_from_only_new_labels_come_each_at_once(sightline: Runner, wire: Wire) -> None:
    wire.label(SOURCES[0], source_id="old")
    process = follow(sightline, wire)
    before = len(process.json_lines())
    wire.label(SOURCES[1], source_id="new")
    lines = wait_for_lines(process, before + 1)
    assert [line["source_id"] for line in lines] == ["hello"] * before + ["new"]


def test_once_ready_it_misses_no_label_and_counts_what_it_reads(sightline: Runner, wire: Wire) -> None:
    process = sightline.start("subscribe", "--format", "json", "--source-id", "yard", "--dedupe")
    for source, source_id in ((SOURCES[0], "yard"), (SOURCES[0], "yard"), (SOURCES[1], "dock-1"), (SOURCES[2], "yard")):
        wire.label(source, source_id=source_id)
    wait_for_lines(process, 2)
    for result, count in (("passed", 2), ("repeated", 1), ("filtered", 1)):
        assert process.metric("sightline_subscribe_labels_total", result=result) == count
    process.signal(signal.SIGTERM)
    assert process.wait(10) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(sightline: Runner, wire: Wire, number: int) -> None:
    process = follow(sightline, wire)
    process.signal(number)
    assert process.wait(10) == 0
    assert process.stderr == ""


def test_filters_choose_and_dedupe_leaves_out_the_second_label_of_a_frame(sightline: Runner, wire: Wire) -> None:
    wire.label(SOURCES[0])
    wire.label(SOURCES[1], predictions=(Prediction("985", "daisy", 0.7),))
    wire.label(SOURCES[0])
    wire.label(SOURCES[0], replay_id="run-1")
    wire.label(SOURCES[2], decision=Decision.REVIEW)
    wire.label(SOURCES[3], predictions=(Prediction("967", "espresso", 0.2),))
    wire.label(SOURCES[4], source_id="yard")
    wanted = ["--class", "espres*", "--min-probability", "0.5", "--decision", "accepted", "--source-id", "dock-?"]
    done = sightline.run("subscribe", "--from", "-1h", *wanted, "--limit", "2", "--dedupe")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["source"]["offset"], line["replay_id"]) for line in lines] == [(0, None), (0, "run-1")]
    assert done.stderr == "sightline: 1 repeated labels were left out\n"


def test_what_is_no_label_is_counted_and_told_and_nothing_stops(sightline: Runner, wire: Wire) -> None:
    for junk in (b"\xff\xd8\xff\xe0 a photo", b"", None, b"\xc3\x01" + b"\0" * 20):
        wire.send(wire.topics.labels, junk)
    wire.label(SOURCES[0])
    done = sightline.run("subscribe", "--from", "-1h", "--limit", "1")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    assert "offset 0 is not a valid label (not_avro" in done.stderr
    assert (
        done.stderr.splitlines()[-1]
        == "sightline: 4 records were not valid labels (2 empty, 1 not_avro, 1 schema_unknown)"
    )


@pytest.mark.parametrize("format_", ["json", "table"])
def test_a_reader_that_goes_away_is_noticed_even_while_nothing_comes(
    deployment: Deployment, wire: Wire, format_: str
) -> None:
    wire.labels(SOURCES)
    reading, writing = os.pipe()
    words = [*COMMAND, "subscribe", "--from", "-1h", "--format", format_]
    with subprocess.Popen(words, env=deployment.env, stdout=writing, stderr=subprocess.PIPE, text=True) as process:
        os.close(writing)
        shown = b""
        while b"espresso" not in shown:  # the table prints its header before the first label
            shown += os.read(reading, 65536)
        os.close(reading)
        _, errors = process.communicate(timeout=15)
    assert (process.returncode, errors) == (0, "")


def test_no_kafka_is_one_sentence(deployment: Deployment, sightline: Runner) -> None:
    away = {"SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "SIGHTLINE_KAFKA__START_TIMEOUT_MS": "500"}
    done = sightline.run("subscribe", env=away)
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
