"""`sightline stream` as a process on a real broker: every frame ends as a batch, a label or a dead letter."""

import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from inference.cache.exact import CacheEntry, open_cache
from inference.cache.record import CachedLabel
from inference.image import image_hash
from inference.models import describe_model
from infra.kafka import clients
from infra.kafka.publisher import Publisher
from infra.kafka.sender import OutRecord
from infra.kafka.topics import group
from schemas import codec, headers
from schemas.records import Encoding, Frame, Origin, Prediction, Quality, SourceKind
from tests.support.deployment import PARTITIONS, Deployment
from tests.support.proxy import TcpProxy
from tests.support.runner import Runner
from tests.support.stream_ends import Feed, Outcomes, Place, jpeg, wait_committed

pytestmark = pytest.mark.timeout(300)

START = ("stream", "--model", "null")


def test_good_bad_and_known_frames(deployment: Deployment, sightline: Runner, feed: Feed, outcomes: Outcomes) -> None:
    known = CachedLabel((Prediction("3", "null 3", 0.8),) * 5, Quality(1, 2, 3))
    settings = deployment.settings(infer={"model": "null"})
    with_label = open_cache(settings, describe_model("null"))
    seen = jpeg(1000)
    assert with_label.store([CacheEntry(image_hash(seen), known)])
    with_label.close()
    for number in range(40):
        feed.send(number, traceparent=f"00-{number:032x}-{1:016x}-01".encode())
    feed.send(40, image=seen)
    feed.send(45, image=seen, sightline_replay_id=b"r1")
    feed.send(41, image=jpeg(5)[:700])
    feed.send(42, value=b"these are no Avro bytes")
    feed.send(43, image=b"<html>not found</html>")
    feed.send(44, value=b"")
    stage = sightline.start(*START, env={"SIGHTLINE_REDIS__TIMEOUT_MS": "5000"})
    feed.close()
    found = outcomes.wait_for(feed.places)
    assert set(found.values()) == {1}
    assert sum(len(batch.items) for batch, _ in outcomes.batches) >= 40
    (label,) = outcomes.labels
    assert (label.origin, label.replay_id, label.predictions[0].name) == (Origin.CACHE_EXACT, None, "null 3")
    replayed = [batch for batch, record in outcomes.batches if headers.replay_id_of(record.headers) == "r1"]
    assert [item.frame_id for batch in replayed for item in batch.items] == ["cam/1/45"], "a replay has its own cache"
    reasons = sorted(headers.to_map(one.headers)[headers.ERROR_CLASS].decode() for one in outcomes.dead)
    assert {"not_avro", "empty"} <= set(reasons)
    assert b"these are no Avro bytes" in [one.value for one in outcomes.dead]
    for batch, record in outcomes.batches:
        traces = headers.traceparents_of(record.headers, len(batch.items))
        assert [int(trace.split("-")[1], 16) for trace in traces if trace] == [
            int(item.frame_id.rpartition("/")[2]) for item in batch.items if int(item.frame_id.rpartition("/")[2]) < 40
        ]
    wait_committed(deployment, len(feed.places))
    assert stage.metric("sightline_dead_letters_total", stage="stream") == len(outcomes.dead)
    assert stage.stop() == 0


@pytest.mark.parametrize("kept", ["uncompressed", "producer"])
def test_producers_that_compress(deployment: Deployment, sightline: Runner, outcomes: Outcomes, kept: str) -> None:
    """Our own topics store records uncompressed; a topic that somebody else created may keep the compression."""
    config = ConfigEntry("compression.type", kept, incremental_operation=AlterConfigOpType.SET)
    topic = ConfigResource("topic", deployment.topics.frames, incremental_configs=[config])
    admin = clients.admin(deployment.settings())
    for changed in admin.incremental_alter_configs([topic]).values():
        changed.result(30)
    places: set[Place] = set()
    for compression in ("gzip", "snappy", "lz4", "zstd"):
        feed = Feed(deployment, compression)
        for number in range(PARTITIONS):
            feed.send(number)
        feed.close()
        places |= feed.places
    stage = sightline.start(*START)
    assert set(outcomes.wait_for(places).values()) == {1}
    assert stage.stop() == 0, stage.stderr


def test_pixels_and_order(deployment: Deployment, sightline: Runner, feed: Feed, outcomes: Outcomes) -> None:
    for number in range(120):
        feed.send(number)
    feed.close()
    stage = sightline.start(*START, "--no-cache")
    outcomes.wait_for(feed.places)
    last: dict[tuple[int, str], int] = {}
    for batch, _ in outcomes.batches:
        assert (batch.width, batch.height, len(batch.pixels)) == (224, 224, len(batch.items) * 224 * 224 * 3 // 2)
        for item in batch.items:
            source = batch.source_partition, item.source_id
            assert item.offset > last.get(source, -1), "frames of a source are in order"
            last[source] = item.offset
            assert item.image_hash == image_hash(jpeg(int(item.frame_id.rpartition("/")[2])))
    assert stage.stop() == 0
    wait_committed(deployment, 120)


def test_after_a_restart_it_goes_on_where_it_stopped(
    deployment: Deployment, sightline: Runner, feed: Feed, outcomes: Outcomes
) -> None:
    for number in range(30):
        feed.send(number)
    first = sightline.start(*START)
    wait_committed(deployment, 30)
    assert first.stop() == 0
    for number in range(30, 60):
        feed.send(number)
    feed.close()
    sightline.start(*START)
    assert set(outcomes.wait_for(feed.places).values()) == {1}


@pytest.mark.system
def test_nothing_is_lost_when_it_is_killed(
    deployment: Deployment, sightline: Runner, feed: Feed, outcomes: Outcomes
) -> None:
    image = jpeg(1, side=512)
    for kill in range(3):
        stage = sightline.start(*START, "--no-cache")
        for number in range(kill * 200, kill * 200 + 200):
            feed.send(number, image=image)
        until = time.monotonic() + 60
        while stage.metric("sightline_stream_frames_total") < 60:
            assert time.monotonic() < until
            time.sleep(0.05)
        stage.kill()
    feed.close()
    sightline.start(*START, "--no-cache")
    found = outcomes.wait_for(feed.places)
    assert len(found) == 600
    wait_committed(deployment, 600)


@pytest.mark.system
def test_two_share_the_partitions_and_one_leaves(
    deployment: Deployment, sightline: Runner, feed: Feed, outcomes: Outcomes
) -> None:
    one = sightline.start(*START, "--no-cache")
    two = sightline.start(*START, "--no-cache")
    for number in range(200):
        feed.send(number)
        time.sleep(0.01)
    assert two.stop() == 0
    for number in range(200, 300):
        feed.send(number)
    feed.close()
    found = outcomes.wait_for(feed.places)
    assert len(found) == 300
    wait_committed(deployment, 300)
    assert one.stop() == 0


def test_frames_of_the_retry_topic_come_back_as_batches_of_their_origin(
    deployment: Deployment, sightline: Runner, outcomes: Outcomes
) -> None:
    publisher = Publisher(deployment.settings())
    frame = Frame("cam/1/5", "cam", SourceKind.CAMERA, 1, 5, 7, 8, Encoding.JPEG, jpeg(5))
    origin = {
        headers.ORIGIN_TOPIC: deployment.topics.frames,
        headers.ORIGIN_PARTITION: "2",
        headers.ORIGIN_OFFSET: "5",
        headers.ORIGIN_TIMESTAMP: "7",
        headers.ATTEMPT: "1",
        headers.REPLAY_ID: "r9",
    }
    found = [(name, value.encode()) for name, value in origin.items()]
    publisher.send(OutRecord(deployment.topics.retry, "cam", codec.encode(frame), found))
    assert publisher.close(10) == 0
    sightline.start(*START, env={"SIGHTLINE_RETRY__DELAYS_MS": "[500]"})
    outcomes.wait_for({(2, 5)})
    ((batch, record),) = outcomes.batches
    assert (batch.source_topic, batch.source_partition) == (deployment.topics.frames, 2)
    assert headers.attempt_of(record.headers) == 1
    assert headers.replay_id_of(record.headers) == "r9"


def test_it_pauses_while_workers_are_behind_and_goes_on_when_they_catch_up(
    deployment: Deployment, sightline: Runner, feed: Feed
) -> None:
    limit = {"SIGHTLINE_STREAM__MAX_INFLIGHT_BYTES": "2000000", "SIGHTLINE_STREAM__STALL_TIMEOUT_MS": "4000"}
    stage = sightline.start(*START, "--no-cache", env=limit)
    deadline = time.monotonic() + 90
    number = 0
    while not stage.metric("sightline_paused", reason="backlog"):
        assert time.monotonic() < deadline
        feed.send(number)
        number += 1
        time.sleep(0.005)
    for more in range(100):
        feed.send(number + more)
    feed.close()
    time.sleep(8)
    assert stage.exit_code is None, "a pause is no stall"
    taken = stage.metric("sightline_stream_frames_total")
    assert taken < len(feed.places)
    worker = clients.consumer(deployment.settings(), group("infer", deployment.prefix))
    for _ in range(60):
        ends = [
            TopicPartition(deployment.topics.batches, one, worker.get_watermark_offsets(
                TopicPartition(deployment.topics.batches, one), 10)[1])
            for one in range(PARTITIONS)
        ]  # fmt: skip
        worker.commit(offsets=ends, asynchronous=False)
        if stage.metric("sightline_stream_frames_total") == len(feed.places):
            break
        time.sleep(0.5)
    worker.close()
    assert stage.metric("sightline_stream_frames_total") == len(feed.places)
    assert stage.stop() == 0


def test_markers_at_the_end_of_its_topic_are_no_frames_that_wait(
    deployment: Deployment, sightline: Runner, outcomes: Outcomes
) -> None:
    keys = {"transactional.id": f"{deployment.prefix}tx", "delivery.timeout.ms": 30_000}
    producer = Producer(clients.producer_config(deployment.settings(), **keys))
    producer.init_transactions(30)
    frame = Frame("cam/1/0", "cam", SourceKind.CAMERA, 1, 0, 7, 8, Encoding.JPEG, jpeg(0))
    for commit in (True, False):
        producer.begin_transaction()
        producer.produce(deployment.topics.frames, codec.encode(frame), "cam", partition=0)
        (producer.commit_transaction if commit else producer.abort_transaction)(30)
    stage = sightline.start(*START, "--no-cache", env={"SIGHTLINE_STREAM__STALL_TIMEOUT_MS": "4000"})
    assert set(outcomes.wait_for({(0, 0)}).values()) == {1}
    time.sleep(7)
    assert stage.exit_code is None, stage.stderr
    assert stage.stop() == 0


def test_a_record_at_the_size_limit_has_an_outcome(
    deployment: Deployment, sightline: Runner, feed: Feed, outcomes: Outcomes
) -> None:
    limit = deployment.settings().topics.max_frame_bytes
    feed.send(0, value=bytes(limit - 200))
    feed.send(1)
    feed.close()
    sightline.start(*START, "--no-cache")
    outcomes.wait_for(feed.places)
    (dead,) = outcomes.dead
    assert len(dead.value or b"") == limit - 200


def test_it_leaves_no_topics_and_no_files_behind(
    deployment: Deployment, sightline: Runner, feed: Feed, tmp_path: Path
) -> None:
    before = set(clients.admin(deployment.settings()).list_topics(timeout=10).topics)
    runner = Runner(deployment.env, cwd=tmp_path)
    stage = runner.start(*START, "--no-cache")
    feed.send(0)
    feed.close()
    wait_committed(deployment, 1)
    assert stage.stop() == 0
    runner.close()
    after = set(clients.admin(deployment.settings()).list_topics(timeout=10).topics)
    assert after - before <= {"__consumer_offsets"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9"}, "Kafka does not answer at 127.0.0.1:9"),
        ({"SIGHTLINE_REDIS__URL": "redis://127.0.0.1:9/0"}, "Redis does not answer at 127.0.0.1:9"),
        ({"SIGHTLINE_TOPIC_PREFIX": "nobody-"}, "no topic nobody-frames.raw"),
    ],
)
def test_what_is_missing_at_the_start_is_said_in_one_sentence(
    sightline: Runner, broken: dict[str, str], words: str
) -> None:
    ended = sightline.run(*START, env=broken)
    assert ended.returncode == 1
    sentence = ended.stderr.strip().splitlines()[-1]
    assert words in sentence


def test_it_goes_on_without_redis(deployment: Deployment, sightline: Runner, feed: Feed, outcomes: Outcomes) -> None:
    url = urlsplit(deployment.redis_url)
    assert url.port is not None
    with TcpProxy(url.port) as line:
        stage = sightline.start(*START, env={"SIGHTLINE_REDIS__URL": f"redis://127.0.0.1:{line.port}{url.path}"})
        line.refuse()
        for number in range(20):
            feed.send(number)
        feed.close()
        assert set(outcomes.wait_for(feed.places).values()) == {1}
        wait_committed(deployment, 20)
        assert stage.stop() == 0
