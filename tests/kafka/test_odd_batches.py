"""What is wrong with a micro-batch, on a real broker: each of its frames has an outcome, or the worker waits."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from infra.kafka.group_offsets import committed_offsets
from infra.kafka.topics import group
from schemas import codec
from schemas.coordinates import Coordinates, TopicPartition
from schemas.headers import Failure, read_failure
from schemas.records import MicroBatch
from tests.support.batches import ROW_BYTES, Feeder, frame, micro_batch, read_all, wait_for
from tests.support.deployment import Deployment
from tests.support.runner import Runner

NEWER = b"\xc3\x01" + bytes(8) + b"of a version to come"
BOTH = pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])


def infer(delivery: str, *more: str) -> list[str]:
    return ["infer", "--model", "null", "--no-cache", "--delivery", delivery, *more]


def dead_letters(feeder: Feeder) -> list[tuple[Failure, bytes | None]]:
    found = [(read_failure(record.headers), record.value) for record in read_all(feeder.settings, feeder.names.dead)]
    return [(failure, value) for failure, value in found if failure is not None]


def committed(deployment: Deployment, partition: int) -> int | None:
    key = TopicPartition(deployment.topics.batches, partition)
    return committed_offsets(deployment.settings(), group("infer", deployment.prefix), [key], 30).get(key)


@pytest.mark.system
@BOTH
def test_a_batch_of_a_newer_version_stops_the_worker_and_nothing_is_committed_past_it(
    feeder: Feeder, sightline: Runner, deployment: Deployment, delivery: str
) -> None:
    """What was before it is labelled and committed; --pass-over is the way on where no newer version wrote it."""
    feeder.feed(batches=8)
    first = sightline.start(*infer(delivery))
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame", [first])
    before = feeder.frames
    feeder.send(feeder.names.batches, 1, NEWER)
    assert first.wait(30) == 1
    for _ in range(2):  # it stops in each of its lives
        again = sightline.start(*infer(delivery), ready=False)
        assert again.wait(60) == 1
    where = f"{feeder.names.batches}/1 offset 2 has a schema version that this worker does not know"
    for worker in (first, again):
        assert f"sightline: {where}" in worker.stderr.splitlines()[-1][: len(where) + 12], worker.stderr
        assert "start with --pass-over 1/2, and it becomes a dead letter" in worker.stderr
    assert committed(deployment, 1) == 2
    assert dead_letters(feeder) == []
    assert feeder.labelled().keys() == before

    feeder.feed(batches=8)
    last = sightline.start(*infer(delivery, "--pass-over", "1/2"))
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame", [last])
    assert last.stop() == 0, last.stderr
    ((failure, value),) = dead_letters(feeder)
    assert (failure.source, failure.error_class) == (Coordinates(feeder.names.batches, 1, 2), "schema_unknown")
    assert value == NEWER
    assert committed(deployment, 1) == 5
    assert set(feeder.labelled().values()) == {1}


def second(**changes: Any) -> Callable[[MicroBatch], MicroBatch]:
    """The batch with another second item."""
    return lambda batch: replace(batch, items=(batch.items[0], replace(batch.items[1], **changes), *batch.items[2:]))


WRONG: list[tuple[Callable[[MicroBatch], MicroBatch], dict[int, str]]] = [
    (second(frame_id="f" * 2_000), {1: "bad_fields"}),
    (second(start=9 * ROW_BYTES), {1: "out_of_bounds"}),
    (second(length=ROW_BYTES // 2), {1: "wrong_length"}),
    (lambda batch: replace(batch, width=112), dict.fromkeys(range(3), "wrong_size")),
    (lambda batch: replace(batch, pixels=batch.pixels[: 2 * ROW_BYTES]), {2: "out_of_bounds"}),
]


def test_what_is_wrong_with_a_batch_costs_its_frames_and_they_can_be_redriven(
    feeder: Feeder, sightline: Runner
) -> None:
    values = [codec.encode(frame("cam-1", number)) for number in range(3 * len(WRONG))]
    for value in values:
        feeder.send(feeder.names.frames, 1, value)
    bad: dict[int, str] = {}
    for number, (change, reasons) in enumerate(WRONG):
        first = 3 * number
        batch = change(micro_batch(feeder.names.frames, 1, range(first, first + 3)))
        feeder.send(feeder.names.batches, 1, codec.encode(batch))
        bad.update({first + index: reason for index, reason in reasons.items()})
    worker = sightline.start(*infer("at_least_once"))
    good = {(1, offset) for offset in range(len(values)) if offset not in bad}
    wait_for(lambda: set(feeder.labelled()) == good and len(dead_letters(feeder)) == len(bad), 60, "outcomes", [worker])
    letters = dead_letters(feeder)
    assert {failure.source.offset: failure.error_class for failure, _ in letters} == bad
    assert all(value == values[failure.source.offset] for failure, value in letters)
    assert f"would redrive {len(bad)} dead letters" in sightline.run("redrive", "--all").stdout
    assert '"ok": true' in sightline.run("audit", "--json").stdout


def test_a_damaged_batch_costs_its_frames_and_bytes_that_are_no_batch_are_dead_by_their_place(
    feeder: Feeder, sightline: Runner
) -> None:
    """The frames of the latter are known to the audit alone, and come through again by `redrive --missing`."""
    feeder.feed(batches=4, frames_per_batch=3, with_frames=True)
    values = [codec.encode(frame("cam-1", number)) for number in range(3, 9)]
    for value in values:
        feeder.send(feeder.names.frames, 1, value)
    damaged = codec.encode(micro_batch(feeder.names.frames, 1, range(3, 6)))[:-1_000]
    garbage = codec.encode(micro_batch(feeder.names.frames, 1, range(6, 9)))[7:]
    for value in (damaged, garbage):
        feeder.send(feeder.names.batches, 1, value)
    worker = sightline.start(*infer("at_least_once"))
    wait_for(lambda: len(dead_letters(feeder)) == 4, 60, "dead letters", [worker])
    *frames, (failure, told_value) = dead_letters(feeder)
    assert [(one.source.offset, one.error_class, told) for one, told in frames] == [
        (offset, "damaged_batch", values[offset - 3]) for offset in (3, 4, 5)
    ]
    assert (failure.source, failure.error_class) == (Coordinates(feeder.names.batches, 1, 2), "not_avro")
    assert told_value == garbage
    sent = sightline.run("redrive", "--missing", "--execute")
    assert (sent.returncode, sent.stdout.splitlines()[0]) == (0, "sent 3 of 3 frames without an outcome"), sent.stdout
    sightline.start("stream", "--model", "null", "--no-cache")
    assert '"missing_count": 0' in sightline.run("audit", "--json", "--wait", "60").stdout


def test_frames_at_places_that_do_not_exist_hold_nothing_up(feeder: Feeder, sightline: Runner) -> None:
    """A batch that fails as a whole, so that each of its frames is looked up in its topic."""
    feeder.feed(batches=4, with_frames=True)
    names = feeder.names
    for source, partition, offsets in (
        (names.frames, 1, [-7, 1, 10**9]),
        (names.frames, 99, [0]),
        (f"{names.frames}-gone", 0, [5]),
    ):
        batch = replace(micro_batch(source, partition, [0] * len(offsets)), width=112)
        named = zip(batch.items, offsets, strict=True)
        items = [replace(item, offset=at, frame_id=f"cam-{partition}/1/{at}") for item, at in named]
        feeder.send(names.batches, 1, codec.encode(replace(batch, items=tuple(items))))
    feeder.feed(batches=4, with_frames=True)
    worker = sightline.start(*infer("at_least_once"))
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame", [worker])
    wait_for(lambda: len(dead_letters(feeder)) == 5, 30, "dead letters", [worker])
    assert {(failure.source, failure.error_class) for failure, _ in dead_letters(feeder)} == {
        (Coordinates(names.batches, 1, 1), "bad_fields"),
        (Coordinates(names.frames, 1, 1), "wrong_size"),
        (Coordinates(names.frames, 1, 10**9), "frame_gone"),
        (Coordinates(names.frames, 99, 0), "frame_gone"),
        (Coordinates(f"{names.frames}-gone", 0, 5), "frame_gone"),
    }
    assert worker.stop() == 0, worker.stderr
