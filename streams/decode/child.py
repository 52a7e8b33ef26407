"""A decode process: `python -P -m streams.decode.child CHANNEL CONTROL FILE...`, with descriptors that it inherits.

The function to run comes once, pickled, on stdin. A job is a list of images, pickled into one of the files, which are
in memory; a message on the channel (a socket) says which file and how long. The pickled results replace the job in its
file, and a message on the channel announces them. Images so pass through no pipe that could fill up, and each side can
go on with another job meanwhile.

Both sides map CONTROL, three numbers. The images that a process is given are numbered. BEGUN says how many were begun,
and BEGUN_CPU_NS the CPU time of the process when the last one was, so that the parent sees which one takes long; images
with a number below TAKEN_BACK are not begun any more.
"""

import mmap
import os
import pickle
import signal
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from infra.process.children import die_with_parent
from infra.process.memory import keep_freed_memory

# The number of the file, the length of the pickled job in it, and the number of its first image.
JOB = struct.Struct("<QQQ")
# The length of the pickled results in the same file; the seconds that the work took; the CPU seconds of the image that
# took longest. The first answer means: ready.
ANSWER = struct.Struct("<Qdd")

BEGUN, BEGUN_CPU_NS, TAKEN_BACK = range(3)
CONTROL_BYTES = 24

Control = memoryview  # of CONTROL_BYTES, as three unsigned 64-bit numbers


def main() -> None:
    """Work on jobs until the parent is gone. The parent handles Ctrl-C and SIGTERM, and ends this process."""
    die_with_parent(signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    keep_freed_memory()
    channel, control_file, *files = map(int, sys.argv[1:])
    control = mapped(control_file)
    work = pickle.load(sys.stdin.buffer)  # noqa: S301
    with socket.socket(fileno=channel) as stage:
        stage.sendall(ANSWER.pack(0, 0.0, 0.0))
        while message := stage.recv(JOB.size, socket.MSG_WAITALL):
            index, size, first = JOB.unpack(message)
            started_s = time.perf_counter()
            results, longest_s = _results(work, load(files[index], size), first, control)
            took_s = time.perf_counter() - started_s
            stage.sendall(ANSWER.pack(dump(files[index], results), took_s, longest_s))


def memory_file() -> int:
    """A descriptor of a new file without a name, in memory where the system supports that."""
    create = getattr(os, "memfd_create", None)
    if create is not None:
        return int(create("decode-job"))
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def mapped(control_file: int) -> Control:
    """The numbers that both sides see."""
    os.ftruncate(control_file, CONTROL_BYTES)
    return memoryview(mmap.mmap(control_file, CONTROL_BYTES)).cast("Q")


def dump(file: int, value: object) -> int:
    """Pickle `value` into the file, from its beginning. Returns the length."""
    data = memoryview(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
    written = 0
    while written < len(data):
        written += os.pwrite(file, data[written:], written)
    return written


def load(file: int, size: int) -> Any:
    """Unpickle the first `size` bytes of the file. Only for data that the other side of our own channel wrote."""
    data = os.pread(file, size, 0)
    if len(data) < size:
        raise EOFError(f"{len(data)} of {size} bytes of a job")
    return pickle.loads(data)  # noqa: S301


def _results(
    work: Callable[[Any], Any], images: Sequence[Any], first: int, control: Control
) -> tuple[list[Any], float]:
    """The results of the images, up to the first that was taken back, and the CPU seconds of the longest."""
    results, longest_ns = [], 0
    for number, image in enumerate(images, first):
        if number < control[TAKEN_BACK]:
            break
        control[BEGUN_CPU_NS] = started_ns = time.process_time_ns()
        control[BEGUN] = number + 1
        results.append(_result(work, image))
        longest_ns = max(longest_ns, time.process_time_ns() - started_ns)
    return results, longest_ns / 1e9


def _result(work: Callable[[Any], Any], image: Any) -> Any:
    try:
        return work(image)
    except Exception as error:  # noqa: BLE001 - the error is the result of this image alone
        return error


if __name__ == "__main__":
    main()
