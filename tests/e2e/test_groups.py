"""Cameras that share capture processes: who is touched when one of them hangs, crashes, comes or goes."""

import errno
import os
import signal
import socket
import threading
import time

import psutil
import pytest

from ingest.camera.agent import into_buffer
from ingest.camera.buffer import FrameBuffer
from ingest.camera.session_end import FeedState
from ingest.camera.spec import CameraSpec
from ingest.camera.task import capture_task
from ingest.capture.groups import CaptureGroups
from ingest.publish.frame import OutgoingFrame
from tests.support.cameras import MAX_IMAGE_BYTES, spec_of
from tests.support.rtsp_cameras import NEEDS_RTSP, rtsp_camera
from tests.support.watched_feed import capture_processes
from tests.support.watched_fleet import WatchedFleet, watched_fleet

NAMES = ["a", "b", "c", "d", "e", "f"]


def cheap(name: str, fps: float = 20) -> CameraSpec:
    return spec_of("sim:coffee?size=64x48", fps, id=name)


def start(watched: WatchedFleet) -> list[psutil.Process]:
    watched.apply([cheap(name) for name in NAMES])
    watched.until_more(NAMES)
    return capture_processes()


def test_a_hanging_process_takes_its_group_alone_and_one_of_it_is_alone_afterwards() -> None:
    with watched_fleet(3) as watched:
        hung, other = start(watched)
        os.kill(hung.pid, signal.SIGSTOP)
        watched.until(lambda: sum(len(epochs) == 2 for epochs in watched.epochs.values()) == 3)
        watched.until_more(NAMES)
        assert sorted(len(epochs) for epochs in watched.epochs.values()) == [1, 1, 1, 2, 2, 2]
        assert not psutil.pid_exists(hung.pid)
        assert len(capture_processes()) == 3, "the others, those of the group, and the one that was waited for"
        assert other.is_running()


def test_a_crashed_process_is_shared_by_half_as_many_afterwards() -> None:
    with watched_fleet(6) as watched:
        [crashed] = start(watched)
        crashed.kill()
        watched.until(lambda: all(len(watched.epochs[name]) == 2 for name in NAMES))
        watched.until(lambda: len(capture_processes()) == 2)


def test_a_process_that_gets_no_source_is_gone_with_its_file_handles(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("ingest.capture.process.hand_over", none_left)
    groups, handles = CaptureGroups(3), psutil.Process().num_fds()
    with pytest.raises(OSError, match="open files"):
        groups.seat("a", capture_task(cheap("a"), MAX_IMAGE_BYTES, 0), 3)
    assert psutil.Process().num_fds() == handles
    assert not capture_processes()


@pytest.mark.system
def test_a_thousand_cameras_that_come_and_go_leave_nothing_behind() -> None:
    """One stays; of the others each is added, gives a frame, and is removed."""

    def look() -> tuple[int, int, int]:
        process, [capture] = psutil.Process(), capture_processes()
        rss = process.memory_info().rss + capture.memory_info().rss
        return rss >> 20, threading.active_count() + capture.num_threads(), process.num_fds() + capture.num_fds()

    with watched_fleet(16) as watched:
        stays = cheap("stays", 5)
        watched.apply([stays])
        watched.until_more(["stays"])
        looks = []
        for number in range(4, 1001, 4):
            names = [f"camera-{(number + place) % 23}" for place in range(4)]
            watched.apply([stays, *map(cheap, names)])
            watched.until_more(names, 1)
            watched.apply([stays])
            if number in (200, 1000):
                time.sleep(2.0)
                looks.append(look())
        (mib, threads, fds), (mib_after, threads_after, fds_after) = looks
        assert threads_after <= threads + 2
        assert fds_after <= fds + 2, "a feed or two may still be ending"
        assert mib_after - mib < 8
        assert len(watched.epochs["stays"]) == 1


@pytest.mark.system
@NEEDS_RTSP
def test_a_camera_that_never_answers_holds_up_none_of_its_group() -> None:
    """One server accepts and sends nothing; its camera is opened alone, and says why it does not open."""
    names = [f"good-{number}" for number in range(4)]
    with socket.create_server(("127.0.0.1", 0)) as silent, rtsp_camera() as address, watched_fleet(8) as watched:
        dead = spec_of(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/cam", id="dead", open_timeout_ms=10_000)
        watched.apply([dead, *(spec_of(address, 10, id=name) for name in names)])
        watched.until_more(names)
        assert watched.fleet[0].state == FeedState.STARTING, "it is still waited for"
        watched.until(lambda: watched.fleet[0].state == FeedState.DOWN)
        watched.until_more(names, 20)
        assert all(len(watched.epochs[name]) == 1 for name in names)
        assert "open" in watched.fleet[0].why


@pytest.mark.system
@NEEDS_RTSP
def test_frames_that_nobody_takes_cost_frames_and_no_connection() -> None:
    """Kafka stands still: the camera is read on, or it would close a connection that nobody reads."""
    with rtsp_camera() as address, watched_fleet(8) as watched:
        buffer: FrameBuffer[OutgoingFrame] = FrameBuffer(1 << 20, 3)
        put, taken = into_buffer(buffer, watched.drops), watched.put

        def both(frame: OutgoingFrame) -> None:
            taken(frame)
            put(frame)

        buffer.add_source("cam", live=True)
        watched.put = both
        watched.apply([spec_of(address, 10)])
        watched.until(lambda: watched.drops.of("cam")["buffer_full"] > 60)
        assert len(watched.epochs["cam"]) == 1
        assert watched.fleet[0].failures == 0
        assert buffer.held_frames() == {"cam": 3}
