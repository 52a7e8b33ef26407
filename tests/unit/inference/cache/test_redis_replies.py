"""What a Redis, or a proxy before it, can answer: each through the client's own parser, over a unix socket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis

from inference.cache.exact import CacheEntry, open_cache
from inference.cache.record import encode
from inference.cache.store import RedisKeyValues
from infra.settings import Settings, load_settings
from tests.support.cache_contract import CLASSES, ONE, TWO, info, label

UNKNOWN = b"-ERR unknown command\r\n"


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


@asynccontextmanager
async def redis_that_says(reply: bytes, folder: Path) -> AsyncIterator[Settings]:
    """A server that answers MGET with `reply`, SET as a Redis would, and knows no other command, as some proxies do."""

    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        while command := await _command(reader):
            writer.write({b"MGET": reply, b"SET": b"+OK\r\n"}.get(command, UNKNOWN))
        writer.close()

    server = await asyncio.start_unix_server(serve, folder / "redis")
    async with server:
        yield load_settings({"redis": {"url": f"unix://{folder}/redis", "timeout_ms": 5_000}, "infer": {"top_k": 2}})
        await asyncio.gather(*filter(None, serving))


async def _command(reader: asyncio.StreamReader) -> bytes:
    """The next command's name; empty at the end."""
    parts = []
    for _ in range(int((await reader.readline())[1:] or 0)):
        size = int((await reader.readline())[1:])
        parts.append((await reader.readexactly(size + 2))[:-2])
    return parts[0].upper() if parts else b""


Asked = Callable[[bytes], Awaitable[list[bytes | None]]]


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    """What `get_many` of two keys answers when Redis says that."""

    async def ask(reply: bytes) -> list[bytes | None]:
        async with redis_that_says(reply, tmp_path) as settings:
            values = RedisKeyValues(settings)
            try:
                return await values.get_many(["one", "two"])
            finally:
                await values.aclose()

    return ask


@pytest.mark.parametrize(
    "element",
    [b"_\r\n", b"$-1\r\n", b"-ERR no upstream host\r\n", b":5\r\n", b"#t\r\n", b",1.5\r\n", b"*1\r\n:1\r\n"],
)
async def test_an_element_that_is_no_value_is_a_miss_and_the_others_count(asked: Asked, element: bytes) -> None:
    assert await asked(b"*2\r\n" + element + bulk(b"value")) == [None, b"value"]


@pytest.mark.parametrize(
    "reply",
    [
        b"_\r\n",
        b"*-1\r\n",
        b":5\r\n",
        b"+OK\r\n",
        bulk(b"ab"),
        b"*0\r\n",
        b"*1\r\n_\r\n",
        b"*3\r\n_\r\n_\r\n_\r\n",
        b"%1\r\n:1\r\n:2\r\n",
    ],
)
async def test_an_answer_that_is_no_list_of_as_many_is_a_fault(asked: Asked, reply: bytes) -> None:
    with pytest.raises(redis.InvalidResponse, match="MGET of 2 keys was answered with"):
        await asked(reply)


@pytest.mark.parametrize("reply", [b"-NOAUTH no\r\n", b"?what\r\n"])
async def test_an_error_and_what_is_no_protocol_are_faults(asked: Asked, reply: bytes) -> None:
    with pytest.raises(redis.RedisError):
        await asked(reply)


async def test_a_look_up_survives_them(tmp_path: Path) -> None:
    known = encode(label(), {class_id: index for index, (class_id, _) in enumerate(CLASSES)})
    assert known is not None
    async with redis_that_says(b"*2\r\n-ERR no upstream host\r\n" + bulk(known), tmp_path) as settings:
        cache = open_cache(settings, info())
        assert await cache.lookup([ONE, TWO]) == [None, label()]
        assert await cache.lookup([ONE]) == [None]  # two answers for one key
        assert cache._lookups.is_open
        await cache.aclose()


async def test_no_command_is_sent_but_those_of_the_cache(tmp_path: Path) -> None:
    """Servers before Redis 6 know no HELLO, and proxies close a connection on a command that they do not know."""
    async with redis_that_says(b"*1\r\n$-1\r\n", tmp_path) as settings:
        cache = open_cache(settings, info())
        assert await cache.lookup([ONE]) == [None]
        assert await asyncio.to_thread(cache.store, [CacheEntry(ONE, label())])
        assert not cache._lookups.is_open
        await cache.aclose()
