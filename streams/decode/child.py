"""A decode process: `python -P -m streams.decode.child CHANNEL FILE...`, descriptors that the stage handed down.

What to do comes pickled on stdin, once. A job is a list of images, pickled in one of the files, which live in memory;
its place is told on the channel, a socket. What came of them is written over it and told in the same way. So images
pass through no pipe that could fill up, and both sides go on with the next job while one is looked at.
"""

import os
import pickle
import signal
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from infra.process.children import die_with_parent
from infra.process.memory import keep_freed_memory

# Which file, and bytes of the pickled job in it.
JOB = struct.Struct("<QQ")
# Bytes of the pickled results in the same file, and the seconds that they took. The first one only says: ready.
ANSWER = struct.Struct("<Qd")


def main() -> None:
    """Serve until the stage is gone. Ctrl-C and SIGTERM are its business, and it ends this process."""
    die_with_parent(signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    keep_freed_memory()
    channel, *files = map(int, sys.argv[1:])
    work = pickle.load(sys.stdin.buffer)  # noqa: S301
    with socket.socket(fileno=channel) as stage:
        stage.sendall(ANSWER.pack(0, 0.0))
        while message := stage.recv(JOB.size, socket.MSG_WAITALL):
            index, size = JOB.unpack(message)
            started_s = time.perf_counter()
            results = [_result(work, image) for image in load(files[index], size)]
            took_s = time.perf_counter() - started_s
            stage.sendall(ANSWER.pack(dump(files[index], results), took_s))


def memory_file() -> int:
    """A new descriptor of a file without a name; in memory where the system can do that."""
    create = getattr(os, "memfd_create", None)
    if create is not None:
        return int(create("decode-job"))
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def dump(file: int, value: object) -> int:
    """Pickle `value` into the file, over what is there; how many bytes that are."""
    data = memoryview(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
    written = 0
    while written < len(data):
        written += os.pwrite(file, data[written:], written)
    return written


def load(file: int, size: int) -> Any:
    """What was pickled into these bytes. Only for what the other side of our own channel wrote."""
    data = os.pread(file, size, 0)
    if len(data) < size:
        raise EOFError(f"{len(data)} of {size} bytes of a job")
    return pickle.loads(data)  # noqa: S301


def _result(work: Callable[[Any], Any], image: Any) -> Any:
    try:
        return work(image)
    except Exception as error:  # noqa: BLE001 - one frame's failure is that frame's outcome
        return error


if __name__ == "__main__":
    main()
