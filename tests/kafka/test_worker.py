"""`sightline infer` on a real broker with the null model: labels for every frame, whatever happens to the process."""

import json
import signal
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Producer, TopicPartition

from infra.kafka import clients
from infra.kafka.start_checks import missing_group_rights
from infra.kafka.topics import group
from schemas import codec
from schemas.headers import read_failure
from schemas.records import MicroBatch
from tests.support.batches import Feeder, frame, micro_batch, read_all, read_labels, row, wait_for
from tests.support.deployment import PARTITIONS, Deployment, deployment
from tests.support.models import LOST, SLOW, SLOW_S, marked
from tests.support.paths import ROOT
from tests.support.runner import STOP_BUDGET_S, Runner, Running
from tests.support.services import Services

BOTH = pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])


def infer(delivery: str, *more: str) -> list[str]:
    return ["infer", "--model", "null", "--no-cache", "--delivery", delivery, *more]


@BOTH
@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_every_frame_gets_its_own_label_in_order(
    feeder: Feeder, sightline: Runner, protocol: str, delivery: str
) -> None:
    feeder.feed(batches=40, frames_per_batch=7)
    worker = sightline.start(*infer(delivery), env={"SIGHTLINE_INFER__GROUP_PROTOCOL": protocol})
    feeder.feed(batches=40, frames_per_batch=7)
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame", [worker])
    assert worker.stop() == 0, worker.stderr
    labels = read_labels(feeder.settings)
    assert len(labels) == len(feeder.frames)
    for label in labels:
        assert label.predictions[0].class_id == str(label.source.offset % 256 % 10)
        assert label.frame_id == f"cam-{label.source.partition}/1/{label.source.offset}"
    for partition in range(feeder.partitions):
        offsets = [label.source.offset for label in labels if label.source.partition == partition]
        assert offsets == sorted(offsets)


@pytest.mark.system
@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_a_worker_that_stands_by_without_a_partition_is_ready(services: Services, protocol: str) -> None:
    variables = {"SIGHTLINE_TOPICS__PARTITIONS": "1", "SIGHTLINE_INFER__GROUP_PROTOCOL": protocol}
    with deployment(services, **variables) as deployed, closing(Runner(deployed.env)) as runner:
        for _ in range(2):
            runner.start(*infer("at_least_once"))


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_a_worker_that_gives_partitions_away_commits_what_it_finished(
    feeder: Feeder, sightline: Runner, protocol: str
) -> None:
    """Without that commit the next owner repeats all work since the last commit; here none is due, so that is all."""
    env = {"SIGHTLINE_INFER__GROUP_PROTOCOL": protocol, "SIGHTLINE_INFER__COMMIT_INTERVAL_MS": "15000"}
    first = sightline.start(*infer("at_least_once"), env=env)
    feeder.feed(batches=40)
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame", [first])
    second = sightline.start(*infer("at_least_once"), env=env)
    wait_for(lambda: "partitions revoked" in first.stderr, 30, "a rebalance", [first, second])
    feeder.feed(batches=40)
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame", [first, second])
    assert set(feeder.labelled().values()) == {1}
    assert "not committed" not in first.stderr
    assert first.stop() == 0, first.stderr
    assert second.stop() == 0, second.stderr


@BOTH
def test_a_restart_begins_where_the_last_one_ended(feeder: Feeder, sightline: Runner, delivery: str) -> None:
    for _ in range(3):
        worker = sightline.start(*infer(delivery))
        feeder.feed(batches=20)
        wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame", [worker])
        assert worker.stop() == 0, worker.stderr
    assert set(feeder.labelled().values()) == {1}


def test_what_is_no_batch_is_a_dead_letter_and_the_rest_goes_on(feeder: Feeder, sightline: Runner) -> None:
    feeder.feed(batches=4)
    for poison in (b"", b"<html>404</html>", codec.encode(frame("cam-1", 1))):
        feeder.send(feeder.names.batches, 1, poison)
    feeder.feed(batches=4)
    sightline.start(*infer("at_least_once"))
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame")
    wait_for(lambda: len(read_all(feeder.settings, feeder.names.dead)) == 3, 10, "dead letters")
    failures = [read_failure(record.headers) for record in read_all(feeder.settings, feeder.names.dead)]
    assert [failure.error_class for failure in failures if failure] == ["empty", "not_avro", "schema_unknown"]
    assert [failure.source.topic for failure in failures if failure] == [feeder.names.batches] * 3


@pytest.mark.system
@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_offsets_that_a_dead_worker_left_open_are_waited_for(
    feeder: Feeder, sightline: Runner, deployment: Deployment, protocol: str
) -> None:
    """A second rebalance makes librdkafka forget that it waits for the offsets, and it begins at the first record."""
    env = {"SIGHTLINE_INFER__GROUP_PROTOCOL": protocol}
    feeder.feed(batches=40)
    before = sightline.start(*infer("exactly_once"), env=env)
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame", [before])
    assert before.stop() == 0, before.stderr
    open_transaction = transaction_with_offsets_of(deployment)
    first = sightline.start(*infer("exactly_once"), env=env)
    second = sightline.start(*infer("exactly_once"), env=env)
    time.sleep(1.0)
    assert second.stop() == 0, second.stderr
    feeder.feed(batches=40)
    time.sleep(3.0)
    assert len(feeder.labelled()) == len(feeder.frames) // 2
    open_transaction.abort_transaction(10)
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame", [first])
    assert first.stop() == 0, first.stderr
    assert set(feeder.labelled().values()) == {1}


def transaction_with_offsets_of(deployment: Deployment) -> Producer:
    """An open transaction with every offset of the workers' group, as a killed worker leaves one."""
    settings, topic = deployment.settings(), deployment.topics.batches
    consumer = clients.consumer(settings, group("infer", deployment.prefix))
    positions = consumer.committed([TopicPartition(topic, number) for number in range(PARTITIONS)], 10)
    assert all(position.offset > 0 for position in positions)
    config = clients.producer_config(
        settings, **{"transactional.id": f"{deployment.prefix}dead", "transaction.timeout.ms": 120_000}
    )
    producer = Producer(config)
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), 10)
    consumer.close()
    return producer


def test_the_rights_on_a_group_are_known_while_a_dead_worker_holds_its_offsets(
    feeder: Feeder, sightline: Runner, deployment: Deployment
) -> None:
    feeder.feed(batches=40)
    worker = sightline.start(*infer("exactly_once"))
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame", [worker])
    assert worker.stop() == 0, worker.stderr
    open_transaction = transaction_with_offsets_of(deployment)
    settings = deployment.settings(kafka={"start_timeout_ms": 20_000})
    started_s = time.monotonic()
    assert missing_group_rights(settings, {group("infer", deployment.prefix): deployment.topics.batches}) == []
    assert time.monotonic() - started_s < 10
    open_transaction.abort_transaction(10)


@pytest.mark.system
@BOTH
def test_batches_that_retention_deleted_before_they_were_read_are_told_and_nothing_else_is_passed_over(
    feeder: Feeder, sightline: Runner, deployment: Deployment, delivery: str
) -> None:
    feeder.feed(batches=40, with_frames=True)
    worker = sightline.start(*infer(delivery))
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame", [worker])
    assert worker.stop() == 0, worker.stderr
    feeder.feed(batches=40, with_frames=True)
    assert feeder.publisher.flush(30) == 0
    deleted_to = [TopicPartition(deployment.topics.batches, number, 15) for number in range(PARTITIONS)]
    admin = clients.admin(deployment.settings())  # kept in a variable: without the client its answers are lost
    for done in admin.delete_records(deleted_to).values():
        done.result(30)
    worker = sightline.start(*infer(delivery))
    left = feeder.frames - missing(feeder)
    wait_for(lambda: set(feeder.labelled()) == left, 60, "a label for every frame that is left", [worker])
    skipped = "sightline_infer_skipped_batches_total"
    wait_for(lambda: worker.metric(skipped) == 5 * PARTITIONS, 30, "the metric of what is gone", [worker])
    assert worker.stop() == 0, worker.stderr
    assert worker.stderr.count("micro-batches are gone from their topic") == PARTITIONS
    found = json.loads(sightline.run("audit", "--json").stdout)
    assert (found["ok"], found["missing_count"]) == (False, 20 * PARTITIONS)
    told = [note for note in found["notes"] if "5 micro-batches, offsets 10 to 14 of" in note]
    assert len(told) == PARTITIONS, found["notes"]
    again = sightline.start(*infer(delivery))
    feeder.feed(batches=4, with_frames=True)
    wait_for(lambda: set(feeder.labelled()) == feeder.frames - missing(feeder), 60, "what is new", [again])
    assert again.metric(skipped) == 0, "told once"
    assert len(read_all(feeder.settings, feeder.names.dead)) == PARTITIONS


def missing(feeder: Feeder) -> set[tuple[int, int]]:
    """The frames of the batches that were deleted."""
    return {(number, offset) for number, offset in feeder.frames if 40 <= offset < 60}


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_a_partition_that_was_paused_as_it_went_is_read_when_it_comes_back(
    feeder: Feeder, sightline: Runner, protocol: str
) -> None:
    """A worker that is paused because it holds too much is joined by another one, which leaves again."""
    env = {
        "PYTHONPATH": str(ROOT),
        "SIGHTLINE_INFER__GROUP_PROTOCOL": protocol,
        "SIGHTLINE_INFER__MAX_QUEUE_BYTES": "1",
    }
    words = ["infer", "--model", "tests.support.models:Failing", "--no-cache"]
    stays = sightline.start(*words, env=env)
    comes = sightline.start(*words, env=env, ready=False)
    while not assigned(comes):
        feed_slow(feeder, *range(feeder.partitions))
        time.sleep(SLOW_S * (feeder.partitions - 1))
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame", [stays, comes])
    assert comes.stop() == 0, comes.stderr
    # Only to the partitions that it had: a frame of another one would pause the worker and later resume all of them.
    for partition in assigned(comes):
        feed_slow(feeder, partition)
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 20, "labels of all partitions", [stays])


@BOTH
def test_a_lost_device_ends_the_worker_at_once_and_costs_no_frame_an_attempt(
    feeder: Feeder, sightline: Runner, delivery: str
) -> None:
    """Every call of its process fails from then on: retries there would make dead letters of good frames."""
    words = ["infer", "--model", "tests.support.models:Failing", "--no-cache", "--delivery", delivery]
    feeder.feed(batches=8, with_frames=True)
    worker = sightline.start(*words, env={"PYTHONPATH": str(ROOT)})
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame", [worker])
    first = feeder.next_offset[2]
    offsets = range(first, first + 8)
    batch = micro_batch(feeder.names.frames, 2, offsets, lambda one: marked(row(one), LOST if one == first + 3 else 0))
    for partition in (2, 3):  # the second one is sound, and waits behind it
        feeder.send(feeder.names.batches, partition, codec.encode(batch if partition == 2 else sound_batch(feeder)))
    started_s = time.monotonic()
    assert worker.wait(30) == 1, worker.stderr
    took_s = time.monotonic() - started_s
    assert (
        "sightline: the device is lost to this process (RuntimeError: CUDA error: device-side assert" in worker.stderr
    )
    assert "Traceback" not in worker.stderr
    assert took_s < 10, took_s
    for topic in (feeder.names.retry, feeder.names.dead):
        assert read_all(feeder.settings, topic) == []
    feeder.next_offset[2] += 8
    again = sightline.start(*infer(delivery))
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame", [again])
    assert again.stop() == 0, again.stderr
    for topic in (feeder.names.retry, feeder.names.dead):
        assert read_all(feeder.settings, topic) == []
    if delivery == "exactly_once":
        assert set(feeder.labelled().values()) == {1}


def sound_batch(feeder: Feeder) -> MicroBatch:
    first = feeder.next_offset[3]
    feeder.next_offset[3] += 4
    return micro_batch(feeder.names.frames, 3, range(first, first + 4))


def feed_slow(feeder: Feeder, *partitions: int) -> None:
    """Write micro-batches of one frame each, on which the model takes long."""
    for partition in partitions:
        offset = feeder.next_offset.get(partition, 0)
        batch = micro_batch(feeder.names.frames, partition, [offset], lambda one: marked(row(one), SLOW))
        feeder.send(feeder.names.batches, partition, codec.encode(batch))
        feeder.next_offset[partition] = offset + 1


def assigned(worker: Running) -> set[int]:
    """The numbers of the partitions that the worker was assigned, read from its log."""
    events = [json.loads(line) for line in worker.stderr.split("\n")[:-1] if line.startswith("{")]
    return {one for event in events if event["event"] == "partitions assigned" for one in event["partitions"]}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_end_while_the_model_is_converted_leaves_no_process_behind(
    deployment: Deployment, tmp_path: Path, number: signal.Signals
) -> None:
    """The first start of a model takes tens of seconds in a child process, which must end with the worker."""
    with closing(Runner({**deployment.env, "SIGHTLINE_HOME": str(tmp_path)})) as runner:
        worker = runner.start("infer", "--model", "efficientnet-lite0", ready=False)
        wait_for(lambda: processes_with(str(tmp_path)), 60, "the conversion", [worker])
        worker.signal(number)
        code = worker.wait(STOP_BUDGET_S)
        wait_for(lambda: not processes_with(str(tmp_path)), 5, "the end of the conversion")
    if number == signal.SIGTERM:
        assert code == 0, worker.stderr
        assert list((tmp_path / "models").iterdir()) == []


def processes_with(word: str) -> bool:
    """Whether one has that word in its command line."""
    return any(word in " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))
