"""The agent's side of a capture process: it starts it, reads its messages, kills it, and tells why it died."""

import contextlib
import subprocess
import threading
from collections import deque
from dataclasses import replace

from infra.process import logs
from infra.process.children import environment, how_it_ended, module_command
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
WITH_SENTENCES = (MessageKind.FAILED, MessageKind.MISSED, MessageKind.REFUSED)
# The last line before an abort says more than an exit status does, unless it is one of these.
NOISE = ("Traceback", "  File")


class CaptureProcess:
    """One capture process. As a context manager it kills the process at the end of the block and waits for its end.

    Start it in the thread that reads from it: Linux ends the process with that thread. Raises OSError when no process
    can be started (too many processes or open files).
    """

    def __init__(self, task: CaptureTask, max_body_bytes: int) -> None:
        self._secrets = secrets_of(with_credentials(task.address, task.connection))
        self._process = subprocess.Popen(
            module_command("ingest.capture.main"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(**LOG_LEVELS),
            bufsize=0,
        )
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._stdin, self._stdout, self._stderr = self._process.stdin, self._process.stdout, self._process.stderr
        self._reader = MessageReader(self._stdout.fileno(), max_body_bytes)
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._listener = threading.Thread(target=self._listen, name="capture-stderr", daemon=True)
        self._listener.start()
        with contextlib.suppress(BrokenPipeError):  # it died at once: the first `read` raises EOFError
            self._stdin.write(task.to_line())

    def __enter__(self) -> "CaptureProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    def read(self, timeout_s: float) -> CaptureMessage | None:
        """As `MessageReader.read`; EOFError means that the process is dead or dying. Sentences have no credentials."""
        message = self._reader.read(timeout_s)
        if message is None or message.kind not in WITH_SENTENCES:
            return message
        texts = {
            key: redact_text(value, self._secrets) for key, value in message.meta.items() if isinstance(value, str)
        }
        return replace(message, meta=message.meta | texts)

    def kill(self) -> None:
        """End the process at once, which leaves nothing half-written, and wait until it is gone."""
        if self._process.poll() is None:
            self._process.kill()
        try:
            self._process.wait(KILL_WAIT_S)
        except subprocess.TimeoutExpired:  # inside a driver: it ends when the driver returns
            log.error("capture process does not die", pid=self._process.pid)
        self._listener.join(LISTEN_WAIT_S)
        for pipe in (self._stdin, self._stdout, self._stderr):
            pipe.close()

    def cause_of_death(self) -> str:
        """How the process ended and what it printed last, without credentials. Call it after EOFError."""
        try:
            how = how_it_ended(self._process.wait(KILL_WAIT_S))
        except subprocess.TimeoutExpired:  # `kill` follows
            how = "closed its output and did not end"
        return ": ".join([f"the capture process {how}", *self.last_words()])

    def last_words(self) -> list[str]:
        """The newest line on its stderr that tells something, if there is one. Call it when the process ends."""
        self._listener.join(LISTEN_WAIT_S)
        return [line for line in self._lines if not line.startswith(NOISE)][-1:]

    def _listen(self) -> None:
        for line in iter(self._stderr.readline, b""):
            text = redact_text(line.decode(errors="replace").strip(), self._secrets)[:MAX_LINE_CHARS]
            text = text.removeprefix("[OPENCV:FFMPEG:16] ")
            if text:
                self._lines.append(text)
