"""The pipe between a capture process and its agent: whole messages or none, never waiting longer than asked."""

import os
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.capture.wire import HEADER, CaptureMessage, MessageKind, MessageReader, WireError, write_message
from ingest.sources.connection import Connection
from ingest.sources.parse import ReaderKind
from ingest.sources.task import CaptureTask

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_a_message_larger_than_the_pipe_arrives_whole(pipe: Pipe) -> None:
    sent = CaptureMessage(MessageKind.FRAME, {"index": 1}, os.urandom(3_000_000))
    writer = threading.Thread(target=write_message, args=(pipe[1], sent))
    writer.start()
    assert MessageReader(pipe[0], 1 << 23).read(5.0) == sent
    writer.join()


def test_half_a_message_is_kept_until_the_rest_comes(pipe: Pipe) -> None:
    reader = MessageReader(pipe[0], 1024)
    whole = HEADER.pack(MessageKind.STATS, 2, 3) + b"{}abc"
    os.write(pipe[1], whole[:8])
    assert reader.read(0.01) is None
    os.write(pipe[1], whole[8:])
    assert reader.read(0.5) == CaptureMessage(MessageKind.STATS, {}, b"abc")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(MessageKind),
            st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
            st.binary(max_size=200),
        ),
        max_size=20,
    )
)
def test_messages_come_in_order(content: list[tuple[MessageKind, dict[str, int], bytes]]) -> None:
    read_fd, write_fd = os.pipe()
    try:
        sent = [CaptureMessage(*parts) for parts in content]
        for message in sent:
            write_message(write_fd, message)
        os.close(write_fd)
        reader = MessageReader(read_fd, 1024)
        assert [reader.read(1.0) for _ in sent] == sent
        with pytest.raises(EOFError):
            reader.read(1.0)
    finally:
        os.close(read_fd)


@pytest.mark.parametrize(
    "garbage",
    [
        HEADER.pack(99, 2, 0) + b"{}",
        HEADER.pack(MessageKind.FRAME, 2, 5000) + b"{}",
        HEADER.pack(MessageKind.FRAME, 2, 0) + b"{]",
        b"\xff" * 40,
    ],
)
def test_garbage_is_told_apart_before_any_memory_is_taken(pipe: Pipe, garbage: bytes) -> None:
    os.write(pipe[1], garbage)
    with pytest.raises(WireError):
        MessageReader(pipe[0], 1024).read(0.5)


def test_a_task_survives_its_line() -> None:
    connection = Connection(False, "ca.pem", "joe", "geheim", True)
    task = CaptureTask(ReaderKind.STREAM, 'rtsp://a:"b"@c/ü\n', 2.5, False, 90, 5000, 5000, 1 << 23, 7, 8, connection)
    assert CaptureTask.from_line(task.to_line()) == task
    assert task.to_line().count(b"\n") == 1
    assert "geheim" not in repr(task)
