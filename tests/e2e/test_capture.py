"""Real capture processes without Kafka: what they read, how they die, and that the agent's side survives that."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

import ingest.capture.process
from ingest.capture.process import CaptureProcess
from ingest.capture.wire import CaptureMessage, MessageKind
from ingest.sources.task import CaptureTask
from tests.support.cameras import MAX_IMAGE_BYTES, PATIENCE_S, spec_of
from tests.support.http_camera import PASSWORD, USER, http_camera
from tests.support.paths import ROOT, SHARED
from tests.support.polled_cameras import says
from tests.support.socket_camera import socket_camera, whole
from tests.support.videos import number_of, write_video

DATA = SHARED / "data"


@pytest.fixture
def jpeg() -> bytes:
    return encoded(64)


def encoded(side: int) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
    done, data = cv2.imencode(".jpg", pixels)
    assert done
    return data.tobytes()


def task_of(source: str, fps: float = 5, **changes: object) -> CaptureTask:
    spec = spec_of(source, fps)
    fields: dict[str, object] = {
        "reader": spec.source.reader,
        "address": spec.source.address,
        "fps": fps,
        "loop": False,
        "jpeg_quality": 90,
        "open_timeout_ms": 3_000,
        "read_timeout_ms": 3_000,
        "max_image_bytes": MAX_IMAGE_BYTES,
    }
    return CaptureTask(**{**fields, **changes})  # type: ignore[arg-type]


def messages(task: CaptureTask, enough: int = 1_000_000) -> list[CaptureMessage]:
    """The messages of a capture process, until its end or until `enough` frames came."""
    found: list[CaptureMessage] = []
    until_s = time.monotonic() + PATIENCE_S
    with CaptureProcess() as process:
        child = process.open(task)
        while time.monotonic() < until_s:
            message = child.read(0.5)
            if message is None:
                continue
            found.append(message)
            ended = message.kind in (MessageKind.ENDED, MessageKind.FAILED)
            if ended or sum(one.kind == MessageKind.FRAME for one in found) >= enough:
                return found
    raise AssertionError(f"no end after {PATIENCE_S} s: {[message.kind.name for message in found]}")


def frames(found: list[CaptureMessage]) -> list[bytes]:
    return [message.body for message in found if message.kind == MessageKind.FRAME]


def last(found: list[CaptureMessage], kind: MessageKind) -> CaptureMessage:
    return [message for message in found if message.kind == kind][-1]


def test_a_video_is_sampled_by_its_own_clock_and_every_frame_counted(tmp_path: Path) -> None:
    found = messages(task_of(str(write_video(tmp_path / "v.avi", frames=40, per_s=20)), fps=5))
    assert [number_of(frame) for frame in frames(found)] == [0, 4, 8, 12, 16, 20, 24, 28, 32, 36]
    stats = last(found, MessageKind.STATS).meta
    assert stats["captured"] == 40
    assert stats["dropped"] == {"rate_limit": 30, "buffer_full": 0, "corrupt": 0, "damaged": 0}


def test_a_damaged_packet_is_counted_and_the_rest_of_the_video_sent(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.avi", frames=40, per_s=20)
    data = video.read_bytes()
    middle = len(data) // 2
    noise = np.random.default_rng(1).bytes(1_500)
    video.write_bytes(data[:middle] + noise + data[middle + len(noise) :])
    found = messages(task_of(str(video), fps=20))
    stats = last(found, MessageKind.STATS).meta
    assert found[-1].kind == MessageKind.ENDED
    assert stats["dropped"]["damaged"] > 0
    assert 36 <= stats["captured"] < 40
    assert number_of(frames(found)[-1]) == 39


def test_a_video_cut_in_half_ends_with_its_last_whole_frame(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.avi", frames=40, per_s=20)
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    found = messages(task_of(str(video), fps=20))
    assert found[-1].kind == MessageKind.ENDED
    assert 15 <= last(found, MessageKind.STATS).meta["captured"] < 20


@pytest.mark.parametrize("loop", [False, True])
def test_a_video_of_noise_is_a_fault_and_no_end(tmp_path: Path, loop: bool) -> None:
    video = write_video(tmp_path / "v.avi", frames=40, per_s=20)
    data = bytearray(video.read_bytes())
    begin, end = data.find(b"movi") + 4, data.find(b"idx1")
    data[begin:end] = np.random.default_rng(1).bytes(end - begin)
    video.write_bytes(data)
    failed = messages(task_of(str(video), loop=loop))[-1]
    assert (failed.kind, failed.meta["why"]) == (MessageKind.FAILED, "it has no frame that can be decoded")


def test_a_video_goes_on_where_an_earlier_process_was_killed(tmp_path: Path) -> None:
    video = str(write_video(tmp_path / "v.avi", frames=20, per_s=20))
    found = messages(task_of(video, fps=20, skip_frames=15))
    assert [number_of(frame) for frame in frames(found)] == [15, 16, 17, 18, 19]
    assert found[0].kind == MessageKind.OPENED
    stats = last(found, MessageKind.STATS).meta
    assert (stats["skipped"], stats["captured"]) == (15, 5)


@pytest.mark.parametrize(("skipped", "first"), [(3, 3), (5, 0), (13, 3), (5_000_000, 0)])
def test_a_looped_video_goes_on_in_the_middle_of_its_round(tmp_path: Path, skipped: int, first: int) -> None:
    video = str(write_video(tmp_path / "v.avi", frames=5, per_s=20))
    found = messages(task_of(video, fps=20, loop=True, skip_frames=skipped), enough=4)
    assert [number_of(frame) for frame in frames(found)][:4] == [(first + number) % 5 for number in range(4)]


def test_a_looped_video_starts_over(tmp_path: Path) -> None:
    video = str(write_video(tmp_path / "v.avi", frames=5, per_s=20))
    found = messages(task_of(video, fps=20, loop=True), enough=12)
    assert [number_of(frame) for frame in frames(found)][:12] == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]


def test_files_are_sent_as_they_are_whatever_they_hold(tmp_path: Path, jpeg: bytes) -> None:
    for name, data in (("a.jpg", jpeg), ("b.png", b"<html>"), ("c.jpg", b""), ("d.csv", b"no image"), ("e.jpg", jpeg)):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "big.jpg").write_bytes(b"\xff\xd8" + bytes(MAX_IMAGE_BYTES))
    found = messages(task_of(str(tmp_path), fps=500))
    assert [
        (message.meta["name"], message.meta["encoding"]) for message in found if message.kind == MessageKind.FRAME
    ] == [
        ("a.jpg", "JPEG"),
        ("b.png", "OTHER"),
        ("c.jpg", "OTHER"),
        ("e.jpg", "JPEG"),
    ]
    assert frames(found) == [jpeg, b"<html>", b"", jpeg]
    refused = last(found, MessageKind.REFUSED).meta
    assert (refused["reason"], refused["name"]) == ("too_large", "big.jpg")
    assert str(MAX_IMAGE_BYTES) in refused["detail"]
    assert str(MAX_IMAGE_BYTES + 2) in refused["detail"]


def test_a_simulated_camera_gives_the_same_bytes_on_every_run() -> None:
    task = task_of("sim:coffee?size=320x240", fps=10)
    first, second = (
        {
            message.meta["index"]: message.body
            for message in messages(task, enough=10)
            if message.kind == MessageKind.FRAME
        }
        for _ in range(2)
    )
    both = first.keys() & second.keys()  # a slow machine skips frames, different ones in each run
    assert both
    assert all(first[index] == second[index] for index in both)


def test_snapshots_are_polled_and_kept_as_they_are(jpeg: bytes) -> None:
    with http_camera(jpeg) as address:
        assert frames(messages(task_of(f"http://{address}/snap.jpg", fps=20), enough=3)) == [jpeg] * 3


def test_a_snapshot_behind_a_password(jpeg: bytes) -> None:
    quoted = PASSWORD.replace("@", "%40").replace("/", "%2F")
    with http_camera(jpeg) as address:
        assert frames(messages(task_of(f"http://{USER}:{quoted}@{address}/private.jpg"), enough=1)) == [jpeg]
        refused = messages(task_of(f"http://{USER}:wrong@{address}/private.jpg"))[-1]
    assert "401" in refused.meta["why"]


def test_a_snapshot_over_the_limit_is_refused_and_the_next_tried(jpeg: bytes) -> None:
    with http_camera(jpeg) as address:
        task = task_of(f"http://{address}/snap.jpg", fps=20, max_image_bytes=len(jpeg) - 1)
        with CaptureProcess() as process:
            child = process.open(task)
            refused = [
                message for _ in range(100) if (message := child.read(0.5)) and message.kind == MessageKind.REFUSED
            ][:2]
    assert [message.meta["reason"] for message in refused] == ["too_large", "too_large"]


def test_a_motion_jpeg_stream_is_sampled(jpeg: bytes) -> None:
    with http_camera(jpeg) as address:
        found = messages(task_of(f"http://{address}/stream.mjpg", fps=5), enough=8)
    assert last(found, MessageKind.STATS).meta["dropped"]["rate_limit"] > 0


@pytest.mark.parametrize(
    ("path", "words"), [("/login", "text/html, which is neither an image nor a stream"), ("/broken", "HTTP 503")]
)
def test_pages_instead_of_pictures(jpeg: bytes, path: str, words: str) -> None:
    with http_camera(jpeg) as address:
        assert words in messages(task_of(f"http://{address}{path}"))[-1].meta["why"]


def test_a_camera_that_accepts_and_stays_silent_fails_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"rtsp://127.0.0.1:{server.getsockname()[1]}/cam"
        began_s = time.monotonic()
        assert messages(task_of(address))[-1].kind == MessageKind.FAILED
        assert time.monotonic() - began_s < 25


def test_no_credentials_where_others_can_see_them() -> None:
    task = task_of("rtsp://joe:geheimnis@127.0.0.1:9/cam")
    with CaptureProcess() as process:
        child = process.open(task)
        assert "geheimnis" not in " ".join(psutil.Process(process.pid).cmdline())
        while (message := child.read(1.0)) is None or message.kind != MessageKind.FAILED:
            pass
        assert "geheimnis" not in " ".join(process.last_words())


def test_no_credentials_in_the_sentence_of_a_redirect() -> None:
    leads = "ftp://joe:geheimnis@127.0.0.1/?next=geheimnis"
    redirect = says(whole(b"", None, "302 Found", f"Location: {leads}"))
    with socket_camera(redirect) as camera:
        task = task_of(f"http://joe:geheimnis@{camera.address}/snap?token=s3cret")
        failed = messages(task)[-1]
    assert failed.kind == MessageKind.FAILED
    assert "redirects" in failed.meta["why"]
    assert "geheim" not in failed.meta["why"]


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")
@pytest.mark.parametrize("name", ["bottle-detection.mp4", "traffic.mp4"])
def test_ordinary_videos(name: str) -> None:
    found = messages(task_of(str(DATA / "video" / name), fps=20), enough=20)
    assert all(len(frame) > 5_000 for frame in frames(found))


def test_a_process_that_closes_its_output_and_does_not_end_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    mute = [sys.executable, "-c", "import os, time; os.close(0); os.close(2); time.sleep(600)"]
    monkeypatch.setattr(ingest.capture.process, "module_command", lambda _module: mute)
    monkeypatch.setattr(ingest.capture.process, "KILL_WAIT_S", 0.2)
    with CaptureProcess() as process:
        child = process.open(task_of("sim:coffee"))
        with pytest.raises(EOFError):
            child.read(PATIENCE_S)
        assert process.cause_of_death() == "the capture process closed its output and did not end"
        monkeypatch.undo()
    assert not psutil.pid_exists(process.pid)


def test_a_capture_process_dies_with_an_agent_that_is_killed() -> None:
    script = (
        "import time\nfrom ingest.capture.process import CaptureProcess\n"
        "from ingest.sources.parse import ReaderKind\nfrom ingest.sources.task import CaptureTask\n"
        "process = CaptureProcess()\n"
        "task = CaptureTask(ReaderKind.SIM, 'coffee', 5.0, False, 90, 3000, 3000, 1 << 20)\n"
        "child = process.open(task)\n"
        "while not child.read(1.0): pass\n"
        "print(process.pid, flush=True)\ntime.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT) as agent:
        assert agent.stdout is not None
        capture = psutil.Process(int(agent.stdout.readline()))
        assert capture.is_running()
        agent.kill()
        capture.wait(10)
