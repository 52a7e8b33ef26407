"""`sightline audit` on a real broker: it counts outcomes and names the frames that have none."""

import json
import threading
import time
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Producer

from infra.kafka.clients import producer_config
from schemas.coordinates import Coordinates
from schemas.headers import Failure, failure_headers, redriven_headers
from tests.support.deployment import Deployment
from tests.support.runner import Runner
from tests.support.sink_records import Wire


def audit(sightline: Runner, *words: str) -> tuple[int, dict[str, Any]]:
    done = sightline.run("audit", "--json", *words)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()


def test_five_percent_broken_frames_balance_and_a_withheld_label_is_named(sightline: Runner, wire: Wire) -> None:
    sources = [*wire.frames(120, partition=0), *wire.frames(80, partition=3)]
    broken = sources[::20]
    for source in broken:
        wire.dead(source)
    good = [source for source in sources if source not in broken]
    withheld = good[37]
    wire.labels([source for source in good if source != withheld])

    code, found = audit(sightline)
    assert code == 1
    assert found["missing"] == [{"topic": wire.topics.frames, "partition": 0, "offset": withheld.offset}]
    assert (found["frames"], found["labels"], found["dead"], found["missing_count"]) == (200, 189, 10, 1)
    assert found["ok"] is False
    text = sightline.run("audit")
    assert text.returncode == 1
    assert f"{wire.topics.frames}/0 offset {withheld.offset} has no outcome" in text.stdout

    wire.label(withheld)
    code, found = audit(sightline)
    assert code == 0
    assert {name: found[name] for name in ("frames", "labels", "dead", "duplicates", "missing", "ok")} == {
        "frames": 200,
        "labels": 190,
        "dead": 10,
        "duplicates": 0,
        "missing": [],
        "ok": True,
    }


def test_only_frames_of_the_range_count_and_their_outcomes_may_come_later(sightline: Runner, wire: Wire) -> None:
    now_ms = time.time_ns() // 1_000_000
    old = wire.frames(3, partition=0, timestamp_ms=now_ms - 3_600_000)
    inside = wire.frames(4, partition=0, timestamp_ms=now_ms - 600_000)
    wire.frames(5, partition=0, timestamp_ms=now_ms - 1_000)
    wire.labels(old[:1], captured_at=(now_ms - 3_600_000) * 1000)
    wire.labels(inside, captured_at=(now_ms - 600_000) * 1000)
    code, found = audit(sightline, "--from", "-20m", "--to", "-5m")
    assert (code, found["frames"], found["labels"]) == (0, 4, 4)
    code, found = audit(sightline, "--from", "-2h", "--to", "-5m")
    assert (code, found["missing_count"], found["missing"][0]["offset"]) == (1, 2, old[1].offset)


def test_a_camera_whose_clock_is_ahead_hides_nobody_behind_it(sightline: Runner, wire: Wire) -> None:
    hour_ms = 3_600_000
    ten_ms = time.time_ns() // 1_000_000 - 5 * hour_ms
    times_ms = [ten_ms + hour_ms, *(ten_ms + minute * 60_000 for minute in range(10)), ten_ms - hour_ms, ten_ms + 1]
    frames = [wire.frames(1, timestamp_ms=at_ms)[0] for at_ms in times_ms]
    unlabelled = (4, len(frames) - 1)
    for frame, at_ms in zip(frames, times_ms, strict=True):
        if frame.offset not in unlabelled:
            wire.label(frame, captured_at=at_ms * 1000)
    of_ten = ("--from", iso(ten_ms), "--to", iso(ten_ms + hour_ms))
    code, found = audit(sightline, *of_ten)
    assert (code, found["frames"], found["labels"]) == (1, 11, 9)
    assert [place["offset"] for place in found["missing"]] == list(unlabelled)
    untold = Failure(frames[4], 0, "decode", "x", "", 0)
    wire.send(wire.topics.dead, b"x", headers=failure_headers(None, untold))
    wire.label(frames[-1], captured_at=times_ms[-1] * 1000)
    code, found = audit(sightline, *of_ten)
    assert (code, found["frames"], found["labels"], found["dead"]) == (0, 11, 10, 1)
    code, found = audit(sightline, "--from", iso(ten_ms + hour_ms), "--to", iso(ten_ms + 2 * hour_ms))
    assert (code, found["frames"], found["labels"]) == (0, 1, 1)


def test_waits_for_frames_that_are_on_their_way(sightline: Runner, wire: Wire) -> None:
    sources = wire.frames(3)
    wire.label(sources[0])
    timer = threading.Timer(4.0, wire.labels, [sources[1:]])
    timer.start()
    code, found = audit(sightline, "--wait", "30")
    timer.join()
    assert (code, found["labels"]) == (0, 3)


def test_gaps_of_transactions_are_no_frames(sightline: Runner, wire: Wire, deployment: Deployment) -> None:
    config = {"delivery.timeout.ms": 30_000, "transactional.id": f"{deployment.prefix}tx"}
    producer = Producer(producer_config(deployment.settings(), **config))
    producer.init_transactions(30)
    for commit in (True, False):
        producer.begin_transaction()
        producer.produce(wire.topics.frames, b"x", partition=0)
        producer.flush(10)
        (producer.commit_transaction if commit else producer.abort_transaction)(30)
    code, found = audit(sightline)
    assert (code, found["frames"], found["missing_count"]) == (1, 1, 1)
    wire.label(Coordinates(wire.topics.frames, 0, 0))
    assert audit(sightline)[0] == 0


def test_duplicates_foreign_dead_letters_and_redriven_frames(sightline: Runner, wire: Wire) -> None:
    first, second, third, fourth = wire.frames(4)
    wire.labels([first, first])
    wire.send(
        wire.topics.dead,
        b"x",
        headers=[
            ("__connect.errors.topic", second.topic.encode()),
            ("__connect.errors.partition", b"0"),
            ("__connect.errors.offset", str(second.offset).encode()),
        ],
    )
    spring = [
        ("kafka_dlt-original-topic", third.topic.encode()),
        ("kafka_dlt-original-partition", (0).to_bytes(4, "big")),
        ("kafka_dlt-original-offset", third.offset.to_bytes(8, "big")),
    ]
    wire.send(wire.topics.dead, b"x", headers=spring)
    letter = wire.dead(fourth)
    failure = Failure(fourth, 0, "decode", "x", "", 0)
    wire.send(wire.topics.dead, None, headers=redriven_headers(failure, letter.partition, letter.offset))
    wire.label(fourth)
    wire.send(wire.topics.dead, b"a stranger's letter without a word on where it is from")
    wire.send(wire.topics.labels, b"no label")
    code, found = audit(sightline)
    assert (code, found["frames"], found["labels"], found["dead"], found["duplicates"]) == (0, 4, 2, 2, 1)
    assert any("1 records" in note for note in found["notes"])


def test_what_retention_took_is_not_counted_and_said(sightline: Runner, wire: Wire, deployment: Deployment) -> None:
    sources = wire.frames(10)
    wire.labels([source for source in sources if source.offset not in (2, 3)])
    deployment.delete_before(wire.topics.frames, 5)
    code, found = audit(sightline)
    assert (code, found["frames"], found["missing_count"], found["expired"], found["ok"]) == (1, 5, 0, 2, False)
    assert "retention has removed frames before this range on 1 of 4 partitions" in found["notes"][0]
    assert "retention removed 2 frames that had no outcome" in sightline.run("audit").stdout
    code, found = audit(sightline, "--from", "1970-01-01")
    assert (code, found["expired"]) == (1, 2)
    assert "before or inside this range" in found["notes"][0]
    wire.labels(sources[2:4])
    code, found = audit(sightline)
    assert (code, found["frames"], found["expired"]) == (0, 5, 0)


def test_what_labels_that_were_removed_told_is_a_note(sightline: Runner, wire: Wire, deployment: Deployment) -> None:
    sources = wire.frames(10)
    wire.labels(source for source in sources if source.offset not in (2, 3))
    deployment.delete_before(wire.topics.frames, 5)
    deployment.delete_before(wire.topics.labels, 1)
    code, found = audit(sightline)
    assert (code, found["expired"]) == (0, 0)
    assert "whether older frames had an outcome is not known" in found["notes"][1]


def test_an_empty_range_says_so(sightline: Runner) -> None:
    done = sightline.run("audit", "--from", "-1m")
    assert (done.returncode, "there is no frame in this range" in done.stdout) == (0, True)


def test_many_scattered_holes_are_looked_up_in_seconds(sightline: Runner, wire: Wire) -> None:
    sources = wire.frames(4_000)
    wire.labels([source for source in sources if source.offset % 40])
    started = time.monotonic()
    code, found = audit(sightline)
    assert (code, found["missing_count"], found["frames"]) == (1, 100, 4_000)
    assert time.monotonic() - started < 60
