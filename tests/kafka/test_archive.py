"""Frames of a real topic become an archive, whatever ends the run, and are there when the topic has them no more."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from infra.kafka.clients import admin, producer_config
from infra.kafka.reader import Reader
from infra.kafka.records import ConsumedRecord
from infra.process import metrics
from infra.process.lifecycle import Stop
from ingest.archive.book import BookWriter
from ingest.archive.event_reader import EventReader
from ingest.archive.events import parse_only
from ingest.archive.layout import HOUR_MS
from ingest.archive.reading import Archive, open_archive
from ingest.archive.run import Archiver
from ingest.archive.service import run_archive
from ingest.archive.store import open_store
from schemas import codec
from schemas.records import Encoding, Frame, SourceKind
from tests.support.archives import memory_url
from tests.support.deployment import PARTITIONS, Deployment
from tests.support.runner import Runner
from tests.support.sink_records import Wire, a_label

pytestmark = pytest.mark.system

FRAMES, CAMERAS, KILLS = 3_000, 24, 2
SMALL_FILES = {"SIGHTLINE_ARCHIVE__MAX_FILE_BYTES": "2000000"}
IMAGE = bytes(range(256)) * 40


@pytest.fixture
def two_hours_ago() -> int:
    """The hour before the last full one: both are over."""
    return (time.time_ns() // 1_000_000 // HOUR_MS - 2) * HOUR_MS


@pytest.fixture
def reader(deployment: Deployment) -> Iterator[Reader]:
    with Reader(deployment.settings()) as opened:
        yield opened


def send_two_hours(deployment: Deployment, start_ms: int, count: int = FRAMES) -> None:
    """Frames of many cameras over two hours, whose clocks differ; a camera is on one partition."""
    producer = Producer(producer_config(deployment.settings(), **{"linger.ms": 20}))
    for number in range(count):
        camera = number % CAMERAS
        at_ms = start_ms + number * 2 * HOUR_MS // count - (camera % 3) * 20_000
        source_id = f"cam-{camera:02d}"
        frame = Frame(
            f"{source_id}/1/{number}",
            source_id,
            SourceKind.CAMERA,
            1,
            number,
            at_ms * 1000,
            at_ms * 1000,
            Encoding.JPEG,
            b"%d" % number + IMAGE,
        )
        producer.produce(
            deployment.topics.frames,
            codec.encode(frame),
            source_id,
            partition=camera % PARTITIONS,
            headers=[("traceparent", b"00-%032x-%016x-00" % (number + 1, number + 1)), ("empty", None)],
            timestamp=at_ms,
        )
        producer.poll(0)
    assert producer.flush(60) == 0


def scan(reader: Reader, topic: str) -> list[ConsumedRecord]:
    """What the topic has, read plainly."""
    return sorted(reader.read(reader.spans(topic)), key=lambda record: (record.partition, record.offset))


def archived(archive: Archive, topic: str) -> list[ConsumedRecord]:
    found = [archive.records(topic, partition, 0, 1 << 60) for partition in range(PARTITIONS)]
    return [record for records in found for record in records]


def groups(client: AdminClient) -> set[str]:
    listed = client.list_consumer_groups(request_timeout=30).result()
    return {group.group_id for group in listed.valid}


def test_two_hours_are_archived_once_although_the_run_is_killed_again_and_again(
    deployment: Deployment, sightline: Runner, reader: Reader, tmp_path: Path, two_hours_ago: int
) -> None:
    topic = deployment.topics.frames
    send_two_hours(deployment, two_hours_ago)
    client = admin(deployment.settings())
    known = groups(client)
    folder = tmp_path / "archive"
    for kill in range(KILLS):
        running = sightline.start("archive", "run", str(folder), env=SMALL_FILES, ready=False)
        until = time.monotonic() + 60
        while len(list(folder.rglob("*.parquet"))) < 4 * (kill + 1):
            assert running.exit_code is None and time.monotonic() < until, running.stderr
            time.sleep(0.005)
        running.kill()
    ended = sightline.run("archive", "run", str(folder), "--once", "--json", env=SMALL_FILES)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["complete"]
    whole = scan(reader, topic)
    assert len(whole) == FRAMES
    assert archived(open_archive(str(folder)), topic) == whole
    verified = sightline.run("archive", "verify", str(folder), "--json")
    assert verified.returncode == 0, verified.stdout
    assert json.loads(verified.stdout)["frames"] == FRAMES
    assert groups(client) == known, "no group was joined, and nothing committed"
    listed = json.loads(sightline.run("archive", "list", str(folder), "--json").stdout)
    assert {Path(file["file"]).parts[1] for file in listed["files"]} >= {
        f"hour={(two_hours_ago // HOUR_MS + hour) % 24:02d}" for hour in (0, 1)
    }
    read_by_duckdb(folder / topic, whole)


def read_by_duckdb(folder: Path, whole: list[ConsumedRecord]) -> None:
    """Another tool reads the same frames from the same files, and finds hours and cameras by itself."""
    files = f"read_parquet('{folder}/*/*/*.parquet', hive_partitioning = true)"
    with duckdb.connect() as connection:
        rows = connection.sql(
            f'select partition, "offset", epoch_ms(timestamp), key, value, headers[1].name, headers[1].value '
            f"from {files} order by 1, 2"
        ).fetchall()
        assert rows == [
            (one.partition, one.offset, one.timestamp_ms, one.key, one.value, *next(iter(one.headers or ())))
            for one in whole
        ]
        cameras = connection.sql(f"select source_id, count(*) from {files} group by 1 order by 1").fetchall()
        assert len(cameras) == CAMERAS
        assert sum(count for _, count in cameras) == len(whole)
        assert connection.sql(f"select count(distinct hour) from {files}").fetchall()[0][0] >= 2


def test_the_archive_has_what_retention_has_removed_and_names_what_it_never_had(
    deployment: Deployment, sightline: Runner, reader: Reader, tmp_path: Path, two_hours_ago: int
) -> None:
    topic = deployment.topics.frames
    send_two_hours(deployment, two_hours_ago, 800)
    before = scan(reader, topic)
    folder = str(tmp_path / "archive")
    assert sightline.run("archive", "run", folder, "--once").returncode == 0
    end = reader.spans(topic)[0].end
    deployment.delete_before(topic, end)
    assert scan(reader, topic) != before
    assert archived(open_archive(folder), topic) == before
    send_two_hours(deployment, two_hours_ago, 80)
    deployment.delete_before(topic, end + 5)
    ended = sightline.run("archive", "run", folder, "--once", "--json")
    assert (ended.returncode, json.loads(ended.stdout)["gaps"]) == (3, {"retention": 5}), ended.stderr
    archive = open_archive(folder)
    assert [(gap.partition, gap.from_offset, gap.to_offset) for gap in archive.gaps(topic)] == [(0, end, end + 5)]
    assert len(archived(archive, topic)) == 875
    listed = sightline.run("archive", "list", folder)
    assert f"{topic}/0 offsets {end} to {end + 4} are in no file: retention" in listed.stdout


def test_a_running_archive_takes_hours_that_are_over_and_leaves_the_present_one(
    deployment: Deployment, sightline: Runner, wire: Wire, tmp_path: Path, two_hours_ago: int
) -> None:
    topic = deployment.topics.frames
    wire.frames(5, timestamp_ms=two_hours_ago)
    wire.frames(5, timestamp_ms=two_hours_ago + HOUR_MS)
    wire.frames(5, timestamp_ms=two_hours_ago + 2 * HOUR_MS)
    folder = str(tmp_path / "archive")
    running = sightline.start("archive", "run", folder, "--keep", "30d")
    assert running.metric("sightline_archive_frames_total") == 10
    assert running.metric("sightline_archive_waiting_records") == 5
    assert running.stop() == 0
    assert [(span.from_offset, span.to_offset) for span in open_archive(folder).spans(topic)] == [(0, 5), (5, 10)]
    ended = sightline.run("archive", "run", folder, "--once", "--keep", "1h", "--json")
    assert json.loads(ended.stdout)["removed_files"] >= 1
    assert open_archive(folder).spans(topic)[-1].to_offset == 15


def test_only_the_frames_around_events_are_kept(
    deployment: Deployment, wire: Wire, reader: Reader, two_hours_ago: int
) -> None:
    topics = deployment.topics
    for source_id in ("dock-1", "dock-2"):
        for second in range(100):
            value = codec.encode(
                Frame(f"{source_id}/1/{second}", source_id, SourceKind.CAMERA, 1, second, 0, 0, Encoding.JPEG, IMAGE)
            )
            at_ms = two_hours_ago + second * 1_000
            wire.send(topics.frames, value, key=source_id, partition=1, timestamp_ms=at_ms)
    frames = {
        source_id: [one for one in scan(reader, topics.frames) if one.key == source_id]
        for source_id in (b"dock-1", b"dock-2")
    }
    captured_at = (two_hours_ago + 20_000) * 1000
    wire.send(topics.review, codec.encode(a_label(source_id="dock-1", captured_at=captured_at)))
    wire.label(frames[b"dock-2"][50].coordinates, source_id="dock-2", captured_at=(two_hours_ago + 50_000) * 1000)
    wire.dead(frames[b"dock-2"][90].coordinates, key="dock-2")
    ahead_ms = time.time_ns() // 1_000_000 + 120_000
    wire.send(topics.frames, b"of a camera whose clock is ahead", partition=2, timestamp_ms=ahead_ms)
    url = memory_url()
    only = parse_only("review,class=espresso,before=3s,after=5s")
    result = run_archive(deployment.settings(), url, Stop(), once=True, only=only)
    archive = open_archive(url)
    assert archive.only == str(only)
    kept = [*frames[b"dock-1"][17:26], *frames[b"dock-2"][47:56]]
    assert archived(archive, topics.frames) == sorted(kept, key=lambda record: record.offset)
    assert (result.frames, archive.spans(topics.frames)[0].to_offset) == (18, 200)
    assert (result.gaps, result.waiting) == ({"none_selected": 1}, 0), "the last frame is decided on too"


def test_events_that_come_late_are_counted_and_frames_wait_for_their_events(
    deployment: Deployment, wire: Wire, reader: Reader
) -> None:
    """Look by look: frames younger than `settle_s` are not decided on, and their events arrive in between."""
    topics, now_ms = deployment.topics, time.time_ns() // 1_000_000
    old = wire.frames(3, timestamp_ms=now_ms - 900_000)
    young = wire.frames(3, timestamp_ms=now_ms - 300_000)
    settings = deployment.settings(archive={"settle_s": 600})
    store, only = open_store(memory_url()), parse_only("review,before=1s,after=1s")
    book = BookWriter.open(store, topics.frames, "log", str(only))
    events = EventReader(settings, reader, only, since_us=0)
    clock = [now_ms]
    archiver = Archiver(settings, reader, book, lambda: clock[0], events=events)
    late = metrics.ARCHIVE_LATE_EVENTS._value.get()

    def look() -> list[int]:
        archiver.look(lambda: False, whole=False)
        return [one.offset for one in open_archive(store.url).records(topics.frames, 0, 0, 100)]

    try:
        assert look() == []
        clock[0] += 3 * HOUR_MS  # the hour is over
        review = a_label(source_id="dock-1", captured_at=(now_ms - 300_000) * 1000)
        wire.send(topics.review, codec.encode(review))
        assert look() == [one.offset for one in young]
        assert book.next_offset(0) == len(old) + len(young)
        wire.send(topics.review, codec.encode(replace(review, captured_at=(now_ms - 900_000) * 1000)))
        look()
        assert metrics.ARCHIVE_LATE_EVENTS._value.get() - late == 1
    finally:
        archiver.close()
        book.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "sightline-archive", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this process may not mount a small file system (it takes root)")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=False)


def test_a_full_disk_costs_nothing_that_was_archived_and_more_room_lets_it_go_on(
    deployment: Deployment, sightline: Runner, reader: Reader, small_disk: Path, two_hours_ago: int
) -> None:
    topic = deployment.topics.frames
    send_two_hours(deployment, two_hours_ago, 800)
    small_files = {"SIGHTLINE_ARCHIVE__MAX_FILE_BYTES": "500000"}
    ended = sightline.run("archive", "run", str(small_disk), "--once", env=small_files)
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(f"sightline: {small_disk} has no room: No space left on device"), ended.stderr
    assert sightline.run("archive", "verify", str(small_disk)).returncode == 0
    assert list(small_disk.rglob("*.part")) == []
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    assert sightline.run("archive", "run", str(small_disk), "--once", env=small_files).returncode == 0
    assert archived(open_archive(str(small_disk)), topic) == scan(reader, topic)


def test_a_topic_that_was_made_again_is_not_put_into_the_archive_of_the_old_one(
    deployment: Deployment, sightline: Runner, wire: Wire, tmp_path: Path
) -> None:
    topic = deployment.topics.frames
    wire.frames(5)
    folder = str(tmp_path / "archive")
    assert sightline.run("archive", "run", folder, "--once").returncode == 0
    deployment.make_again(topic)
    ended = sightline.run("archive", "run", folder, "--once")
    assert ended.returncode == 1
    assert f"sightline: {topic} was deleted and made again since {folder} was begun" in ended.stderr
