"""`sightline infer` on a real broker with the null model: labels for every frame, whatever happens to the process."""

from collections import Counter
from collections.abc import Iterator

import pytest

from schemas.headers import read_failure
from tests.support.batches import Feeder, read_all, read_labels, sources, wait_for
from tests.support.deployment import Deployment
from tests.support.runner import Runner

BOTH = pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])


@pytest.fixture
def feeder(deployment: Deployment) -> Iterator[Feeder]:
    made = Feeder(deployment.settings())
    yield made
    made.close()


def infer(delivery: str, *more: str) -> list[str]:
    return ["infer", "--model", "null", "--no-cache", "--delivery", delivery, *more]


def labelled(feeder: Feeder) -> Counter[tuple[int, int]]:
    return Counter(sources(read_labels(feeder.settings)))


@BOTH
@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_every_frame_gets_its_own_label_in_order(
    feeder: Feeder, sightline: Runner, protocol: str, delivery: str
) -> None:
    feeder.feed(batches=40, frames_per_batch=7)
    worker = sightline.start(*infer(delivery), env={"SIGHTLINE_INFER__GROUP_PROTOCOL": protocol})
    feeder.feed(batches=40, frames_per_batch=7)
    wait_for(lambda: set(labelled(feeder)) == feeder.frames, 60, "a label for every frame", [worker])
    assert worker.stop() == 0, worker.stderr
    labels = read_labels(feeder.settings)
    assert len(labels) == len(feeder.frames)
    for label in labels:
        assert label.predictions[0].class_id == str(label.source.offset % 256 % 10)
        assert label.frame_id == f"cam-{label.source.partition}/1/{label.source.offset}"
    for partition in range(feeder.partitions):
        offsets = [label.source.offset for label in labels if label.source.partition == partition]
        assert offsets == sorted(offsets)


@BOTH
def test_a_restart_begins_where_the_last_one_ended(feeder: Feeder, sightline: Runner, delivery: str) -> None:
    for _ in range(3):
        worker = sightline.start(*infer(delivery))
        feeder.feed(batches=20)
        wait_for(lambda: set(labelled(feeder)) == feeder.frames, 60, "a label for every frame", [worker])
        assert worker.stop() == 0, worker.stderr
    assert set(labelled(feeder).values()) == {1}


def test_what_is_no_batch_is_a_dead_letter_and_the_rest_goes_on(feeder: Feeder, sightline: Runner) -> None:
    feeder.feed(batches=4)
    for poison in (b"", b"<html>404</html>", b"\xc3\x01" + b"\x00" * 30):
        feeder.send(feeder.names.batches, 1, poison)
    feeder.feed(batches=4)
    sightline.start(*infer("at_least_once"))
    wait_for(lambda: set(labelled(feeder)) == feeder.frames, 60, "a label for every frame")
    wait_for(lambda: len(read_all(feeder.settings, feeder.names.dead)) == 3, 10, "dead letters")
    failures = [read_failure(record.headers) for record in read_all(feeder.settings, feeder.names.dead)]
    assert [failure.error_class for failure in failures if failure] == ["empty", "not_avro", "schema_unknown"]
    assert [failure.source.topic for failure in failures if failure] == [feeder.names.batches] * 3
