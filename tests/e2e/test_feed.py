"""A feed restarts its capture process, which is killed, hangs or finds nothing; the frames that come out are right."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from ingest.camera.session_end import FeedState
from tests.support.cameras import SETTINGS, spec_of
from tests.support.watched_feed import WatchedFeed, watched_feed


@pytest.fixture
def watch() -> Iterator[Callable[..., WatchedFeed]]:
    with ExitStack() as closing:
        yield lambda *arguments: closing.enter_context(watched_feed(*arguments))


def test_a_camera_whose_process_is_killed_comes_back_with_a_new_epoch(watch: Callable[..., WatchedFeed]) -> None:
    watched = watch(spec_of("sim:coffee?size=160x120", fps=20))
    watched.until(lambda: len(watched.captured) > 3)
    watched.capture_process().kill()
    watched.until(lambda: len(watched.epochs()) == 2)
    watched.until(lambda: watched.feed.state == FeedState.UP)
    in_order = [one.stream_epoch for one in watched.captured]
    assert in_order == sorted(in_order)


def test_a_process_that_hangs_is_killed_by_the_watchdog(watch: Callable[..., WatchedFeed]) -> None:
    watched = watch(spec_of("sim:coffee?size=160x120", fps=20))
    watched.until(lambda: len(watched.captured) > 3)
    hung = watched.capture_process()
    os.kill(hung.pid, signal.SIGSTOP)
    began_s = time.monotonic()
    watched.until(lambda: len(watched.epochs()) == 2)
    assert time.monotonic() - began_s > 4.5
    assert not psutil.pid_exists(hung.pid)


def test_a_finite_source_loses_and_repeats_nothing_when_its_process_is_killed(
    watch: Callable[..., WatchedFeed], tmp_path: Path
) -> None:
    for number in range(60):
        (tmp_path / f"{number:03}.jpg").write_bytes(str(number).encode())
    watched = watch(spec_of(str(tmp_path), fps=20))
    watched.until(lambda: len(watched.captured) > 10)
    watched.capture_process().kill()
    watched.until(lambda: watched.feed.state == FeedState.ENDED)
    assert [one.image for one in watched.captured] == [str(number).encode() for number in range(60)]
    assert len(watched.epochs()) == 2


def test_a_file_that_is_no_video_is_given_up_with_a_sentence(watch: Callable[..., WatchedFeed], tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 100)
    watched = watch(spec_of(str(tmp_path / "broken.mp4")), SETTINGS.model_copy(update={"max_failures": 2}))
    watched.until(lambda: watched.feed.state == FeedState.DEAD)
    assert "does not open" in watched.feed.why
    assert watched.feed.failures == 2


def test_a_dead_camera_is_tried_for_ever_and_stops_at_once(watch: Callable[..., WatchedFeed]) -> None:
    watched = watch(spec_of("rtsp://127.0.0.1:9/cam"), SETTINGS.model_copy(update={"max_failures": 1}))
    watched.until(lambda: watched.feed.failures >= 2)
    assert watched.feed.state == FeedState.DOWN
    threading.Timer(0.0, watched.stop.set).start()
    watched.feed.join(3)
    assert not watched.feed.is_alive()
