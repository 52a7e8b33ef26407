"""The agent's side of a capture process: it starts it, reads its messages, kills it, and tells why it died."""

import os
import socket
import subprocess
import threading
from collections import deque
from dataclasses import replace
from typing import Self

from infra.process import logs
from infra.process.children import environment, how_it_ended, module_command
from ingest.capture.handing import hand_over
from ingest.capture.wire import CaptureMessage, MessageKind, MessageReader
from ingest.sources.connection import with_credentials
from ingest.sources.redact import redact_text, secrets_of
from ingest.sources.task import CaptureTask

log = logs.get(__name__)

KEPT_LINES = 8
MAX_LINE_CHARS = 300
KILL_WAIT_S = 5.0
LISTEN_WAIT_S = 1.0
# FFmpeg's errors (level 16) say why a stream does not open; OpenCV's warnings say only that it does not.
LOG_LEVELS = {"OPENCV_FFMPEG_LOGLEVEL": "16", "OPENCV_LOG_LEVEL": "ERROR"}
# Without the first, a camera that does not answer holds up the opening of all others in its process; the sources of a
# process have the same options (see `groups`). With more arenas, each thread keeps freed memory for itself.
DEFAULTS = {"OPENCV_FFMPEG_IS_THREAD_SAFE": "1", "MALLOC_ARENA_MAX": "2", **LOG_LEVELS}
WITH_SENTENCES = (MessageKind.FAILED, MessageKind.MISSED, MessageKind.REFUSED)
# The last line before an abort says more than an exit status does, unless it is one of these.
NOISE = ("Traceback", "  File")


class CaptureProcess:
    """One capture process, which reads the sources that it is given. As a context manager it is killed at the end.

    Start it in a thread that outlives it: Linux ends the process with that thread. Raises OSError when no process can
    be started (too many processes or open files).
    """

    def __init__(self) -> None:
        self._tasks, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    module_command("ingest.capture.main"),
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env=environment(**DEFAULTS),
                    bufsize=0,
                )
            except OSError:
                self._tasks.close()
                raise
        assert self._process.stderr
        self._stderr = self._process.stderr
        self._secrets: tuple[str, ...] = ()
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._listener = threading.Thread(target=self._listen, name="capture-stderr", daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def open(self, task: CaptureTask) -> "CaptureChannel":
        """Let it read one source more. A process that is dead shows at the first `read`.

        For one thread at a time. Raises OSError where there are too many open files.
        """
        secrets = secrets_of(with_credentials(task.address, task.connection))
        self._secrets = tuple(sorted({*self._secrets, *secrets}, key=len, reverse=True))
        return CaptureChannel(hand_over(self._tasks, task), task.max_image_bytes, secrets)

    def ends_within(self, timeout_s: float) -> bool:
        """Whether it is dead by then."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill_only(self) -> None:
        """End the process at once; `kill` is still to be called, by whoever uses it last."""
        if self._process.poll() is None:
            self._process.kill()

    def kill(self) -> None:
        """End the process at once, which leaves nothing half-written, and wait until it is gone."""
        self.kill_only()
        try:
            self._process.wait(KILL_WAIT_S)
        except subprocess.TimeoutExpired:  # inside a driver: it ends when the driver returns
            log.error("capture process does not die", pid=self._process.pid)
        self._listener.join(LISTEN_WAIT_S)
        self._tasks.close()
        self._stderr.close()

    def cause_of_death(self) -> str:
        """How the process ended and what it printed last, without credentials. Call it after EOFError."""
        try:
            how = how_it_ended(self._process.wait(KILL_WAIT_S))
        except subprocess.TimeoutExpired:  # `kill` follows
            how = "closed its output and did not end"
        return ": ".join([f"the capture process {how}", *self.last_words()])

    def last_words(self) -> list[str]:
        """The newest line on its stderr that tells something, if there is one."""
        if not self.is_alive():
            self._listener.join(LISTEN_WAIT_S)
        return [line for line in tuple(self._lines) if not line.startswith(NOISE)][-1:]

    def _listen(self) -> None:
        for line in iter(self._stderr.readline, b""):
            text = redact_text(line.decode(errors="replace").strip(), self._secrets)[:MAX_LINE_CHARS]
            text = text.removeprefix("[OPENCV:FFMPEG:16] ")
            if text:
                self._lines.append(text)


class CaptureChannel:
    """The messages of one source in a capture process. Closing it ends the reading of that source and of no other."""

    def __init__(self, fd: int, max_body_bytes: int, secrets: tuple[str, ...]) -> None:
        self._fd, self._secrets = fd, secrets
        self._reader = MessageReader(fd, max_body_bytes)

    def read(self, timeout_s: float) -> CaptureMessage | None:
        """As `MessageReader.read`; EOFError: its process is dead or dying. Sentences have no credentials."""
        message = self._reader.read(timeout_s)
        if message is None or message.kind not in WITH_SENTENCES:
            return message
        texts = {
            key: redact_text(value, self._secrets) for key, value in message.meta.items() if isinstance(value, str)
        }
        return replace(message, meta=message.meta | texts)

    def close(self) -> None:
        os.close(self._fd)
