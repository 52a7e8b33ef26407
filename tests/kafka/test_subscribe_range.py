"""`sightline subscribe` with an end, and from where the last one ended, on a real broker."""

import json
import signal
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer

from infra.kafka.clients import producer_config
from schemas import codec
from schemas.coordinates import Coordinates
from tests.support.deployment import Deployment
from tests.support.runner import Runner
from tests.support.sink_records import Wire, a_label

HOUR_MS = 3_600_000


def offsets_of(text: str) -> list[int]:
    return [json.loads(line)["source"]["offset"] for line in text.splitlines()]


def label_at(wire: Wire, offset: int, age_ms: int, partition: int = 0) -> None:
    """A label of the frame with that offset, whose record is that old."""
    value = codec.encode(a_label(Coordinates("frames.raw", partition, offset)))
    now_ms = int(time.time() * 1000)
    wire.send(wire.topics.labels, value, partition=partition, timestamp_ms=now_ms - age_ms)


def test_a_range_of_time_ends_and_holds_exactly_the_labels_of_that_time(sightline: Runner, wire: Wire) -> None:
    """Partition 0 is out of order by minutes, 1 has nothing in the range, 2 and 3 are empty."""
    ages_ms = [4 * HOUR_MS, 2 * HOUR_MS, HOUR_MS - 60_000, 90 * 60_000, HOUR_MS - 120_000, HOUR_MS + 60_000, 0]
    for offset, age_ms in enumerate(ages_ms):
        label_at(wire, offset, age_ms)
    label_at(wire, 100, 5 * HOUR_MS, partition=1)
    label_at(wire, 101, 1_000, partition=1)
    done = sightline.run("subscribe", "--from", "-3h", "--to", "-1h", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert offsets_of(done.stdout) == [1, 3, 5]
    from_the_first = sightline.run("subscribe", "--to", "-1h", "--format", "json")
    assert sorted(offsets_of(from_the_first.stdout)) == [0, 1, 3, 5, 100]
    empty = sightline.run("subscribe", "--from", "-50m", "--to", "-30m", "--format", "json")
    assert (empty.returncode, empty.stdout) == (0, "")


def test_an_end_behind_transaction_markers_and_removed_records_is_reached(
    sightline: Runner, wire: Wire, deployment: Deployment
) -> None:
    wire.labels([Coordinates("frames.raw", 0, offset) for offset in range(4)])
    keys = {"transactional.id": f"{deployment.prefix}tx", "delivery.timeout.ms": 30_000}
    producer = Producer(producer_config(deployment.settings(), **keys))
    producer.init_transactions(30)
    for offset, commits in ((4, True), (5, False)):
        producer.begin_transaction()
        value = codec.encode(a_label(Coordinates("frames.raw", 0, offset)))
        producer.produce(wire.topics.labels, value, partition=0)
        producer.flush(10)
        (producer.commit_transaction if commits else producer.abort_transaction)(30)
    deployment.delete_before(wire.topics.labels, 2)
    done = sightline.run("subscribe", "--to", "end", "--format", "json", timeout_s=60)
    assert (done.returncode, done.stderr, offsets_of(done.stdout)) == (0, "", [2, 3, 4])


def test_it_goes_on_where_the_last_one_with_the_file_ended(sightline: Runner, wire: Wire, tmp_path: Path) -> None:
    file = str(tmp_path / "positions.json")
    words = ["subscribe", "--positions", file, "--format", "json"]
    wire.labels([Coordinates("frames.raw", 0, offset) for offset in range(3)])
    assert offsets_of(sightline.run(*words, "--from", "-1h", "--to", "end").stdout) == [0, 1, 2]
    assert offsets_of(sightline.run(*words, "--from", "-1h", "--to", "end").stdout) == []
    for offset in (3, 4, 5, 6):
        wire.label(Coordinates("frames.raw", offset % 2, offset))
    assert len(limited := offsets_of(sightline.run(*words, "--limit", "3").stdout)) == 3
    process = sightline.start(*words)
    until = time.monotonic() + 30
    while not process.json_lines():
        assert time.monotonic() < until
        time.sleep(0.05)
    wire.label(Coordinates("frames.raw", 0, 7))
    while len(process.json_lines()) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    process.signal(signal.SIGTERM)
    assert process.wait(10) == 0
    followed = offsets_of(process.stdout)
    assert sorted(limited + followed) == [3, 4, 5, 6, 7]
    assert offsets_of(sightline.run(*words, "--to", "end").stdout) == []


@pytest.mark.parametrize("to", ["1h", "-3h"])
def test_an_end_that_cannot_be_is_one_sentence(sightline: Runner, to: str) -> None:
    done = sightline.run("subscribe", "--from", "-2h", "--to", to)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
