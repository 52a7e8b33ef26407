"""How an agent hands a source to a capture process: a line of JSON, and the writing end of a pipe for its messages."""

import os
import socket
import struct

from ingest.sources.task import CaptureTask

LENGTH = struct.Struct("!I")
MAX_TASK_BYTES = 1 << 20


def hand_over(process: socket.socket, task: CaptureTask) -> int:
    """Hand a source over; returns the reading end of its pipe. A process that is dead shows as the end of that."""
    reading, writing = os.pipe()
    line = task.to_line()
    try:
        socket.send_fds(process, [LENGTH.pack(len(line))], [writing])
        process.sendall(line)
    except OSError:  # it died: nobody holds the writing end any more
        pass
    finally:
        os.close(writing)
    return reading


def receive_task(agent: socket.socket) -> tuple[CaptureTask, int] | None:
    """The next source and where its messages go; None when the agent has ended."""
    head, fds, _, _ = socket.recv_fds(agent, LENGTH.size, 1)
    if not head or not fds:
        return None
    [length] = LENGTH.unpack(head)
    line = b""
    while len(line) < min(length, MAX_TASK_BYTES):
        piece = agent.recv(length - len(line))
        if not piece:
            return None
        line += piece
    return CaptureTask.from_line(line), fds[0]
