"""A capture process: `python -m ingest.capture.main`, whose stdin is a socket on which its sources come.

OpenCV and FFmpeg run here and nowhere else in the agent: they can hang in a call that nothing interrupts, and they
abort the process on a broken file. Each source has a pipe of its own for its messages. The process ends with its agent:
at the end of stdin, and by PR_SET_PDEATHSIG.
"""

import os
import signal
import socket
import sys
import threading
from typing import NoReturn

from infra.process.children import die_with_parent
from ingest.capture.capture import Capture
from ingest.capture.handing import receive_task
from ingest.sources.task import CaptureTask


class Captures:
    """The sources that this process reads, each in threads of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0

    def start(self, task: CaptureTask, out_fd: int) -> None:
        with self._lock:
            self._running += 1
        threading.Thread(target=self._run, args=(task, out_fd), name="encoder", daemon=True).start()

    def _run(self, task: CaptureTask, out_fd: int) -> None:
        defect = False
        try:
            Capture(task, out_fd).run()
        except BrokenPipeError:
            pass  # the agent wants no more of this source
        except BaseException:  # noqa: BLE001 - printed as the interpreter would
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
            defect = True
        with self._lock:
            self._running -= 1
            if defect and not self._running:
                os._exit(1)
        os.close(out_fd)


def main() -> NoReturn:
    """Ends the process without the interpreter's shutdown, which a reader thread inside FFmpeg would crash."""
    # A terminal signals the whole process group, but the agent decides when this process stops.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    die_with_parent(signal.SIGKILL)
    agent = socket.socket(fileno=os.dup(0))
    os.dup2(2, 1)  # libraries print to stdout
    captures = Captures()
    while (received := receive_task(agent)) is not None:
        captures.start(*received)
    os._exit(0)


if __name__ == "__main__":
    main()
