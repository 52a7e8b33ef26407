"""A capture process that crashes: its agent is told how, and nothing hangs."""

import os
import signal
import time

import pytest

from ingest.capture.process import CaptureProcess
from ingest.capture.wire import MessageKind
from tests.e2e.test_capture import task_of
from tests.support.cameras import PATIENCE_S
from tests.support.paths import SHARED

DATA = SHARED / "data"


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")
def test_a_video_that_makes_opencv_abort_ends_its_process_or_is_read_to_its_end() -> None:
    """A race in FFmpeg: a slow machine reads all of it. It never hangs."""
    with CaptureProcess() as process:
        child = process.open(task_of(str(DATA / "video" / "demo.avi")))
        try:
            until_s = time.monotonic() + PATIENCE_S
            while (message := child.read(0.5)) is None or message.kind != MessageKind.ENDED:
                assert time.monotonic() < until_s
        except EOFError:
            assert "SIG" in process.cause_of_death()


def test_a_process_that_crashes_is_told_with_its_signal() -> None:
    with CaptureProcess() as process:
        child = process.open(task_of("sim:coffee"))
        while child.read(PATIENCE_S) is None:
            pass
        os.kill(process.pid, signal.SIGABRT)
        with pytest.raises(EOFError):
            while True:
                child.read(0.5)
        assert "SIGABRT" in process.cause_of_death()
