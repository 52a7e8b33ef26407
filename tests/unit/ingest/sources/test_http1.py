"""Answers of HTTP as cameras send them: what is taken of them, in whatever pieces they come, and all within bounds."""

import gzip
import zlib
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.sources.http1 import (
    MAX_CHUNK_LINE_BYTES,
    MAX_HEAD_BYTES,
    MAX_INFLATED_BYTES,
    BadAnswer,
    Body,
    Head,
    inflated,
    take_head,
)
from tests.support.lenient_answers import ANSWERS
from tests.support.polled_cameras import JPEG


def head_of(text: bytes) -> Head:
    buffer = bytearray(text)
    head = take_head(buffer)
    assert head is not None
    assert not buffer
    return head


def read(pieces: list[bytes]) -> tuple[Head | None, bytes, bool]:
    """Head, body, and whether the connection can go on, of an answer that comes in these pieces and then ends.

    Raises BadAnswer.
    """
    buffer, head, body, data = bytearray(), None, None, b""
    for piece in pieces:
        buffer += piece
        if body is None:
            head = take_head(buffer)
            body = Body(head) if head else None
        if body is not None and buffer:
            data += body.feed(bytes(buffer))
            buffer.clear()
    if body is None:
        raise BadAnswer("ends in its header")
    goes_on = body.ended and body.is_exact
    return head, data + body.finish(), goes_on


@pytest.mark.parametrize(
    ("line", "status", "reason", "stays_open"),
    [
        (b"HTTP/1.1 200 OK", 200, "OK", True),
        (b"HTTP/1.1 200", 200, "", True),
        (b"HTTP/1.1 404 Not Found", 404, "Not Found", True),
        (b"HTTP/1.1  200  OK ", 200, "OK", True),
        (b"http/1.1 200 ok", 200, "ok", True),
        (b"HTTP/1.1 200OK", 200, "OK", True),
        (b"HTTP/1.0 200 OK", 200, "OK", False),
        (b"HTTP/2 200", 200, "", True),
        (b"HTTP 200 OK", 200, "OK", False),
        (b"ICY 200 OK", 200, "OK", False),
        (b"HTTP/1.1 503 Caf\xe9\x1b[1m", 503, "Caf??[1m", True),
    ],
)
def test_first_lines(line: bytes, status: int, reason: str, stays_open: bool) -> None:
    head = head_of(line + b"\r\n\r\n")
    assert (head.status, head.reason, head.stays_open) == (status, reason, stays_open)


@pytest.mark.parametrize(
    "line", [b"HTTP/1.1 2000 OK", b"HTTP/1.1 OK", b"HTTP", b"ICY", b"HTTPS/1.1 200 OK", b"RTSP/1.0 200 OK", b"\0"]
)
def test_what_is_no_first_line(line: bytes) -> None:
    with pytest.raises(BadAnswer):
        take_head(bytearray(line + b"\r\n\r\n"))


def test_folded_lines_belong_to_the_line_before_and_lines_that_are_none_to_nothing() -> None:
    head = head_of(
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\td\r\nnothing\r\n e\r\n f: g\r\nContent-Length: 5\r\nx\r\n 7\r\n\r\n"
    )
    assert head.headers == ((b"A", b"b c d"), (b"f", b"g"), (b"Content-Length", b"5"))


@pytest.mark.parametrize(
    ("connection", "version", "stays_open"),
    [("close", "1.1", False), ("Keep-Alive", "1.0", True), ("x, Close", "1.1", False), ("keep-alive, x", "1.1", True)],
)
def test_who_keeps_the_connection(connection: str, version: str, stays_open: bool) -> None:
    assert head_of(f"HTTP/{version} 200 OK\nConnection: {connection}\n\n".encode()).stays_open == stays_open


@pytest.mark.parametrize("name", ANSWERS)
@given(cuts=st.lists(st.integers(0, 300), max_size=8), step=st.sampled_from([9, 1_000, 1 << 20]))
def test_odd_answers_are_read_in_any_pieces(name: str, cuts: list[int], step: int) -> None:
    odd = ANSWERS[name]
    step = max(step, len(odd.data) // 500)
    places = sorted({0, *cuts, *range(300, len(odd.data), step), len(odd.data)})
    pieces = [odd.data[a:b] for a, b in pairwise(places)]
    try:
        _, whole_body, _ = read([odd.data])
    except BadAnswer:
        whole_body = b""  # the picture had come before
    found = b""
    try:
        _, found, _ = read(pieces)
    except BadAnswer:
        assert not whole_body
        return
    if found != whole_body:  # of a length that is too small, only what comes with the last piece is seen
        assert "too small" in name or "length of 0" in name
        return
    assert JPEG in b"".join(inflated([found], b"gzip, deflate"))


@given(
    data=st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from(
                [b"HTTP/1.1 200 OK\r\n", b"ICY 200\n", b"HTTP/1.1 100 x\r\n\r\n", b"\r\n", b"\n", b" ", b":"]
            ),
            st.sampled_from(
                [b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n", b"5\r\n", b"0\r\n", b"a;b\r\n"]
            ),
        ),
        max_size=40,
    )
)
@example([b"HTTP/1.1 200 OK\r\n", b"Content-Length: \xb2\r\n\r\n"])
def test_any_bytes_are_an_answer_or_a_bad_one_and_no_body_is_longer_than_what_came(data: list[bytes]) -> None:
    try:
        head, body, _ = read(data)
    except BadAnswer:
        return
    assert head is not None
    assert 200 <= head.status <= 999
    assert len(body) <= sum(map(len, data))


def test_a_header_without_an_end_is_bounded() -> None:
    buffer = bytearray(b"HTTP/1.1 200 OK\r\n")
    with pytest.raises(BadAnswer, match="header of more than"):
        for _ in range(MAX_HEAD_BYTES):
            buffer += b"X: y\r\n" * 100
            take_head(buffer)
    assert len(buffer) < MAX_HEAD_BYTES + 1_000


def test_a_chunk_size_without_an_end_is_bounded() -> None:
    body = Body(head_of(b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n"))
    body.feed(b"1\r\na\r\n")
    with pytest.raises(BadAnswer, match="a chunk without a size"):
        for _ in range(MAX_CHUNK_LINE_BYTES):
            body.feed(b"1111")


@pytest.mark.parametrize(
    ("lengths", "length"),
    [
        (["5"], 5),
        (["5", "5"], 5),
        (["5, 5"], 5),
        (["5", "6"], None),
        (["-5"], None),
        (["5x"], None),
        (["²"], None),
        (["9" * 5000], None),
        ([], None),
    ],
)
def test_lengths(lengths: list[str], length: int | None) -> None:
    lines = "".join(f"Content-Length: {each}\n" for each in lengths)
    assert Body(head_of(f"HTTP/1.1 200 OK\n{lines}\n".encode())).length == length


def test_what_comes_behind_an_answer_is_told() -> None:
    def body_after(text: bytes, *more: bytes) -> tuple[bytes, bool]:
        body = Body(head_of(b"HTTP/1.1 200 OK\n" + text + b"\n\n"))
        return b"".join(body.feed(piece) for piece in more), body.is_exact

    assert body_after(b"Content-Length: 3", b"abc") == (b"abc", True)
    assert body_after(b"Content-Length: 3", b"abc\r\n", b"\n") == (b"abc", True)
    assert body_after(b"Content-Length: 3", b"ab", b"cde", b"f") == (b"abcdef", False)
    assert body_after(b"Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n") == (b"abc", True)
    assert body_after(b"Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n", b"\r\n") == (b"abc", True)
    assert body_after(b"Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n", b"X: y\r\n\r\n") == (b"abc", False)


def test_a_page_that_must_have_no_body_has_none() -> None:
    body = Body(head_of(b"HTTP/1.1 204 No Content\n\n"))
    assert body.ended
    assert (body.feed(b"page"), body.is_exact) == (b"", False)


def test_an_answer_without_a_head_is_only_one_on_a_new_connection() -> None:
    assert take_head(bytearray(b"--frame\r\n")) == Head(200, "", (), stays_open=False)
    assert take_head(bytearray(b"-")) is None
    with pytest.raises(BadAnswer, match="is not HTTP"):
        take_head(bytearray(b"--frame--\r\nHTTP/1.1 200 OK\r\n\r\n"), is_first=False)


@pytest.mark.parametrize("step", [1, 2, 1_000, 1 << 20])
@pytest.mark.parametrize(
    ("data", "coding"),
    [
        (gzip.compress(JPEG), b"gzip"),
        (gzip.compress(JPEG) + b"more", b"x-gzip"),
        (zlib.compress(JPEG), b"Deflate"),
        (JPEG, b"gzip"),
        (JPEG, b"deflate"),
        (JPEG, b""),
    ],
)
def test_codings(data: bytes, coding: bytes, step: int) -> None:
    assert b"".join(inflated((data[at : at + step] for at in range(0, len(data), step)), coding)) == JPEG


def test_a_coding_that_grows_is_bounded_in_each_step() -> None:
    bomb = gzip.compress(bytes(50 << 20))

    def once() -> Iterator[bytes]:
        yield bomb

    assert max(map(len, inflated(once(), b"gzip"))) <= MAX_INFLATED_BYTES
    with pytest.raises(BadAnswer, match="compressed, and broken"):
        list(inflated([b"\x1f\x8bnone"], b"gzip"))
