"""What a replay's copier is asked to do while it runs, and whether a copier is alive."""

import os
import socket
import threading
import time

import psutil

from infra.process import logs
from infra.process.watch_thread import WatchThread
from infra.replay.progress import ProgressTopic, progress_topic
from infra.settings import Settings
from schemas.errors import SightlineError
from schemas.records import Micros
from schemas.replays import ReplayAction, ReplayProgress

log = logs.get(__name__)

LOOK_S = 1.0
# A copier writes its progress every few seconds; one that was silent for so long is gone, or cut off.
SILENT_S = 15.0


def this_process() -> str:
    """Host and process id, as `ReplayProgress.process`."""
    return f"{socket.gethostname()}/{os.getpid()}"


def has_ended_here(process: str) -> bool:
    """Whether the process ran on this machine and does not any more. False where that cannot be seen from here."""
    host, _, pid = process.rpartition("/")
    if host != socket.gethostname() or not pid.isdecimal():
        return False
    try:
        return psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def is_silent(progress: ReplayProgress, now: Micros) -> bool:
    """Whether nobody copies any more, as far as can be told."""
    return has_ended_here(progress.process) or now - progress.updated_at > SILENT_S * 1e6


class ControlWatch(WatchThread):
    """Looks for requests to one replay, in a thread of its own. Use as a context manager.

    A copier removes the requests to the one before it with its first record.
    """

    def __init__(self, settings: Settings, replay_id: str) -> None:
        super().__init__("control", self._look_on)
        self._settings, self._replay_id = settings, replay_id
        self._action: ReplayAction | None = None

    def asked(self) -> ReplayAction | None:
        """For any thread. Raises what ended the watch, which is a defect."""
        self.check()
        return self._action

    def _look_on(self, closing: threading.Event) -> None:
        with progress_topic(self._settings) as topic:
            while not closing.wait(LOOK_S):
                self._look(topic)

    def _look(self, topic: ProgressTopic) -> None:
        try:
            request = topic.look().requests.get(self._replay_id)
        except SightlineError as error:  # the copier itself ends where Kafka does not come back
            log.warning("requests to this replay are not seen now", error=str(error))
            return
        if request is not None:
            self._action = request.action


def wait_for_state(settings: Settings, replay_id: str, timeout_s: float) -> ReplayProgress | None:
    """The replay once it does not run any more; None when the time is over, or it is not there."""
    until = time.monotonic() + timeout_s
    with progress_topic(settings) as topic:
        while True:
            progress = topic.look().progress.get(replay_id)
            if progress is None or not progress.state.is_running:
                return progress
            if time.monotonic() > until:
                return None
            time.sleep(0.2)
