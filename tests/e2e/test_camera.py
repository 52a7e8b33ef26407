"""`sightline camera` as a process on a real broker: which records it writes to frames.raw, and how it ends."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from infra.kafka.clients import consumer
from infra.process.ports import find_ports
from schemas.codec import decode
from schemas.headers import traceparent_of
from schemas.records import Frame
from tests.support.deployment import Deployment
from tests.support.rtsp_cameras import NEEDS_RTSP, rtsp_camera
from tests.support.runner import Runner, Running
from tests.support.videos import number_of, write_video

pytestmark = pytest.mark.kafka

PATIENCE_S = 90.0


class FramesTopic:
    """Reads frames.raw of a deployment from its beginning; checks key, time and headers of every record."""

    def __init__(self, deployment: Deployment) -> None:
        self.frames: list[Frame] = []
        self._consumer = consumer(deployment.settings(), "t-frames-" + deployment.prefix)
        self._consumer.subscribe([deployment.topics.frames])

    def until(self, enough: Callable[[list[Frame]], bool], timeout_s: float = PATIENCE_S) -> list[Frame]:
        until_s = time.monotonic() + timeout_s
        while not enough(self.frames):
            assert time.monotonic() < until_s, f"only {[frame.frame_id for frame in self.frames][-20:]}"
            self._poll()
        return self.frames

    def rest(self) -> list[Frame]:
        """All records, read until no new one comes."""
        quiet_since_s = time.monotonic()
        while time.monotonic() - quiet_since_s < 3:
            if self._poll():
                quiet_since_s = time.monotonic()
        return self.frames

    def _poll(self) -> bool:
        message = self._consumer.poll(0.2)
        if message is None:
            return False
        assert message.error() is None
        value, key = message.value(), message.key()
        assert value is not None and key is not None
        frame = decode(Frame, value)
        assert key.decode() == frame.source_id
        assert message.timestamp()[1] == frame.captured_at // 1000
        assert str(traceparent_of(dict(message.headers() or {}).items())).endswith("-00"), "traces are off"
        assert frame.frame_id == f"{frame.source_id}/{frame.stream_epoch}/{frame.frame_seq}"
        self.frames.append(frame)
        return True

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture
def topic(deployment: Deployment) -> Iterator[FramesTopic]:
    opened = FramesTopic(deployment)
    yield opened
    opened.close()


def by_epoch(frames: list[Frame]) -> dict[tuple[str, int], list[int]]:
    found: dict[tuple[str, int], list[int]] = {}
    for frame in frames:
        found.setdefault((frame.source_id, frame.stream_epoch), []).append(frame.frame_seq)
    return found


def assert_no_gaps(frames: list[Frame]) -> None:
    for numbers in by_epoch(frames).values():
        assert numbers == list(range(len(numbers)))


def capture_processes(agent: Running) -> list[psutil.Process]:
    return [child for child in psutil.Process(agent.pid).children() if "ingest.capture.main" in child.cmdline()]


def test_a_folder_arrives_whole_and_a_file_over_the_limit_is_named(
    sightline: Runner, topic: FramesTopic, tmp_path: Path
) -> None:
    for number in range(30):
        (tmp_path / f"{number:02}.jpg").write_bytes(bytes([number]) * 2000)
    (tmp_path / "empty.jpg").write_bytes(b"")
    ended = sightline.run("camera", "--source", str(tmp_path), "--id", "folder", "--fps", "200")
    assert ended.returncode == 0, ended.stderr
    frames = topic.rest()
    assert_no_gaps(frames)
    assert [frame.image for frame in frames] == [bytes([number]) * 2000 for number in range(30)] + [b""]
    assert frames[3].attributes == {"file": "03.jpg"}

    (tmp_path / "huge.jpg").write_bytes(bytes(9 << 20))
    (tmp_path / "largest.jpg").write_bytes(bytes((8 << 20) - (40 << 10)))
    ended = sightline.run("camera", "--source", str(tmp_path), "--id", "again", "--fps", "200")
    assert ended.returncode == 1
    assert "1 images were refused" in ended.stderr
    assert str(9 << 20) in ended.stderr
    assert "too_large" in ended.stderr
    again = [frame for frame in topic.rest() if frame.source_id == "again"]
    assert len(again) == 32
    assert max(len(frame.image) for frame in again) == (8 << 20) - (40 << 10)


def test_a_frame_that_cannot_be_sent_and_a_name_that_is_no_utf_8_end_no_agent(
    sightline: Runner, topic: FramesTopic, tmp_path: Path
) -> None:
    for name, size in ((b"a.jpg", 10), (b"b.jpg", 50_000), (b"caf\xe9.jpg", 20)):
        (tmp_path / os.fsdecode(name)).write_bytes(bytes(size))
    small = {"SIGHTLINE_KAFKA__PRODUCER": '{"message.max.bytes": 20000}'}
    ended = sightline.run("camera", "--source", str(tmp_path), "--id", "folder", "--fps", "200", env=small)
    assert ended.returncode == 1
    assert "folder: 1 frames were not delivered" in ended.stderr
    assert "Message size too large" in ended.stderr
    assert [(frame.attributes["file"], len(frame.image), frame.frame_seq) for frame in topic.rest()] == [
        ("a.jpg", 10, 0),
        ("caf\ufffd.jpg", 20, 2),
    ]


def test_a_video_is_published_at_its_rate_and_the_agent_ends(
    sightline: Runner, topic: FramesTopic, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "line 3.avi", frames=30, per_s=15)
    ended = sightline.run("camera", "--source", str(video), "--fps", "5")
    assert ended.returncode == 0, ended.stderr
    frames = topic.rest()
    assert_no_gaps(frames)
    assert {frame.source_id for frame in frames} == {"line-3"}
    assert [number_of(frame.image) for frame in frames] == list(range(0, 30, 3))
    assert 1.0 < (frames[-1].captured_at - frames[0].captured_at) / 1e6 < 4.0


def test_one_broken_source_does_not_take_the_others_down(sightline: Runner, topic: FramesTopic, tmp_path: Path) -> None:
    broken = tmp_path / "broken.avi"
    broken.write_bytes(b"RIFF" + bytes(500))
    config = tmp_path / "cameras.toml"
    config.write_text(
        f'[[camera]]\nid = "broken"\nsource = "{broken}"\n'
        '[[camera]]\nid = "away"\nsource = "rtsp://joe:geheim@127.0.0.1:9/cam"\n'
        '[[camera]]\nid = "good"\nsource = "sim:coffee?size=160x120"\nfps = 10\n'
    )
    hurry = {"SIGHTLINE_CAMERA__MAX_FAILURES": "3", "SIGHTLINE_CAMERA__BACKOFF_MAX_MS": "1000"}
    agent = sightline.start("camera", "--config", str(config), env=hurry)
    until_s = time.monotonic() + PATIENCE_S
    while "source given up" not in agent.stderr:
        assert time.monotonic() < until_s, [line for line in agent.stderr.splitlines() if '"away"' not in line]
        time.sleep(0.2)
    given_up_at = time.time_ns() // 1000
    topic.until(lambda frames: sum(one.captured_at > given_up_at for one in frames if one.source_id == "good") > 10)
    assert agent.metric("sightline_camera_up", source_id="good") == 1
    assert agent.metric("sightline_camera_up", source_id="away") == 0
    assert agent.metric("sightline_camera_reconnects_total", source_id="broken") >= 2
    assert agent.metric("sightline_source_frames_published_total", source_id="good") > 10
    assert agent.stop() == 1, "a source that was given up shows in the exit code"
    assert "broken: given up after 3 failures" in agent.stderr
    assert "geheim" not in agent.stderr
    assert_no_gaps([frame for frame in topic.rest() if frame.source_id == "good"])


def test_sigterm_leaves_nothing_behind(sightline: Runner, topic: FramesTopic) -> None:
    agent = sightline.start("camera", "--source", "sim:mix?size=160x120", "--fps", "20")
    topic.until(lambda frames: len(frames) > 10)
    captures = capture_processes(agent)
    assert len(captures) == 1
    published = agent.metric("sightline_source_frames_published_total")
    assert agent.stop() == 0, agent.stderr
    assert not any(capture.is_running() for capture in captures)
    assert len(topic.rest()) >= published
    assert_no_gaps(topic.frames)
    line = json.loads([line for line in agent.stderr.splitlines() if '"published"' in line][-1])
    assert line["frames"] == len(topic.frames)


def test_kill_9_leaves_no_capture_process(sightline: Runner, topic: FramesTopic) -> None:
    agent = sightline.start("camera", "--source", "sim:coffee?size=160x120")
    topic.until(lambda frames: len(frames) > 2)
    [capture] = capture_processes(agent)
    agent.kill()
    assert psutil.wait_procs([capture], timeout=10)[1] == []


def test_no_kafka_is_one_sentence(sightline: Runner) -> None:
    away = {
        "SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{find_ports(1)[0]}",
        "SIGHTLINE_KAFKA__START_TIMEOUT_MS": "1000",
    }
    ended = sightline.run("camera", "--source", "sim:coffee", env=away)
    assert ended.returncode == 1
    assert away["SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS"] in ended.stderr
    assert "sightline up" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "give --source"),
        (["--source", "sim:toaster"], "no such simulated camera"),
        (["--source", "/no/such/file.mp4"], "no such file"),
        (["--config", "/no/cameras.toml"], "cannot be read"),
        (["--config", "cameras.toml", "--source", "sim:coffee"], "leave out --source"),
        (["--source", "sim:coffee", "--id", "a b"], "'a b'"),
        (["--source", "sim:coffee", "--source", "sim:cat", "--id", "a"], "--id names one camera"),
        (["--source", "sim:coffee", "--source", "sim:coffee"], "sim-coffee"),
        (["--source", "joe:geheim@cam/1"], "begins with rtsp://"),
        (["--source", "rtsp://joe:geheim#1@cam/1"], "# as %23"),
    ],
)
def test_faults_are_found_before_anything_is_opened(sightline: Runner, words: list[str], sentence: str) -> None:
    ended = sightline.run("camera", *words)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "geheim" not in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.system
@NEEDS_RTSP
def test_an_rtsp_camera_that_is_cut_and_restored_goes_on_with_a_new_epoch(
    sightline: Runner, topic: FramesTopic
) -> None:
    port = find_ports(1)[0]
    with rtsp_camera(port=port) as address:
        hurry = {"SIGHTLINE_CAMERA__BACKOFF_MAX_MS": "2000"}
        agent = sightline.start("camera", "--source", address, "--id", "gate", "--fps", "5", env=hurry)
        topic.until(lambda frames: len(frames) >= 10)
    time.sleep(3)
    with rtsp_camera(port=port):
        topic.until(lambda frames: len(by_epoch(frames)) >= 2 and max(map(len, by_epoch(frames).values())) >= 10)
        first, *later = sorted(epoch for _, epoch in by_epoch(topic.frames))
        topic.until(lambda frames: len(by_epoch(frames)["gate", later[-1]]) >= 5)
        assert first < later[-1]
        assert agent.metric("sightline_camera_reconnects_total", source_id="gate") >= 1
        assert agent.stop() == 0
        assert_no_gaps(topic.rest())
