"""Bodies of uploads: their limits, and the files of multipart ones."""

from collections.abc import MutableMapping
from typing import Any

import pytest

from ingest.gateway.body import Receive, Upload, read_body, uploads_in
from ingest.gateway.limits import Room
from ingest.gateway.problems import Problem


def received(*chunks: bytes) -> Receive:
    left = list(chunks)

    async def receive() -> MutableMapping[str, Any]:
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    return receive


async def test_a_body_is_read_and_its_room_is_given_back() -> None:
    room = Room(1_000)
    async with read_body({"content-length": "6"}, received(b"abc", b"def"), room, 100, 5) as body:
        assert (body, room.used_bytes) == (b"abcdef", 6)
    assert room.used_bytes == 0


@pytest.mark.parametrize("headers", [{"content-length": "101"}, {}])
async def test_a_large_body_is_413_also_without_a_length(headers: dict[str, str]) -> None:
    room = Room(1_000)
    with pytest.raises(Problem) as found:
        async with read_body(headers, received(bytes(50), bytes(51), bytes(10)), room, 100, 5):
            pass
    assert found.value.status == 413
    assert room.used_bytes == 0


async def test_who_waits_for_100_continue_sends_nothing_in_vain() -> None:
    with pytest.raises(Problem) as found:
        async with read_body({"content-length": "101", "expect": "100-continue"}, received(), Room(1_000), 100, 5):
            pass
    assert found.value.status == 413


def test_the_files_of_a_multipart_body() -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\nContent-Type: x/y\r\n\r\nA\r\nB\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="b.jpg"\r\n\r\n\r\n--b--\r\n'
    )
    kind = "multipart/form-data; boundary=b"
    assert uploads_in(kind, body, "", 5) == [Upload(b"A\r\nB", "a.jpg"), Upload(b"", "b.jpg")]
    assert uploads_in("image/jpeg", b"raw", "c.jpg", 5) == [Upload(b"raw", "c.jpg")]
    for broken, content_type, status in (
        (body, "multipart/form-data", 400),
        (body[:-10], kind, 400),
        (b"nonsense", kind, 400),
        (b"--b--\r\n", kind, 400),
    ):
        with pytest.raises(Problem) as found:
            uploads_in(content_type, broken, "", 5)
        assert found.value.status == status
    with pytest.raises(Problem) as found:
        uploads_in(kind, body, "", 1)
    assert (found.value.status, found.value.code) == (413, "too_many_files")


def test_parts_without_a_file_are_bounded() -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n'
    with pytest.raises(Problem) as refused:
        uploads_in("multipart/form-data; boundary=b", part * 5_000 + b"--b--\r\n", "", 10)
    assert (refused.value.status, refused.value.code) == (413, "too_many_parts")
