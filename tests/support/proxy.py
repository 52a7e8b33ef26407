"""A TCP proxy that fails on demand, as networks do: it delays or holds data, resets and refuses connections."""

import asyncio
import random
import socket
import ssl
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

_T = TypeVar("_T")

_CHUNK_BYTES = 64 * 1024
# How much data may be in transit in one direction of a connection, as a slow connection holds only so much.
_MAX_CHUNKS = 32
_CALL_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Conditions:
    """The present faults of the connections. `hold`: no data passes and nothing is closed, as when packets are dropped.

    Held data arrives when the connection is restored, because TCP would have retransmitted it until then.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    hold: bool = False


CLEAR = Conditions()


class TcpProxy:
    """Listens on 127.0.0.1 and passes bytes to `target_port`, from a thread of its own. Order is always kept.

    With `tls` its clients speak TLS to it, and the target does not.

    A context manager; every method may be called from any thread and acts on present and later connections.
    """

    def __init__(
        self,
        target_port: int,
        port: int = 0,
        rng: random.Random | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.target_port, self._tls = target_port, tls
        self.connections_total = 0
        self._rng = rng or random.Random(0)
        self._conditions = CLEAR
        self._writers: dict[asyncio.StreamWriter, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.port = self._call(self._listen(port))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.close()

    # -- faults

    def delay(self, delay_s: float, jitter_s: float = 0.0) -> None:
        """Delay the data by this time in each direction, plus a random part of `jitter_s`."""
        self._set(Conditions(delay_s=delay_s, jitter_s=jitter_s))

    def hold(self) -> None:
        """Hold all data: connections stay open and new ones are accepted, but no byte arrives."""
        self._set(Conditions(hold=True))

    def cut(self, share: float = 1.0) -> int:
        """Reset this share of the connections, chosen at random; returns their number."""
        return self._call(self._cut(share))

    def refuse(self) -> None:
        """Reset all connections and refuse new ones, as a port without a listener does."""
        self._call(self._refuse())

    def restore(self) -> None:
        """End every fault: data passes without delay, and new connections are accepted."""
        self._set(CLEAR)
        self._call(self._accept_again())

    def close(self) -> None:
        """Reset everything and end the thread."""
        if self._loop.is_closed():
            return
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CALL_TIMEOUT_S)
        self._loop.close()

    # -- in the thread of the event loop

    def _call(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_TIMEOUT_S)

    def _set(self, conditions: Conditions) -> None:
        async def change() -> None:
            self._conditions = conditions
            self._changed.set()
            self._changed = asyncio.Event()

        self._call(change())

    async def _listen(self, port: int) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=_CHUNK_BYTES, ssl=self._tls)
        return int(self._server.sockets[0].getsockname()[1])

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut(1.0)

    async def _accept_again(self) -> None:
        if self._server is None:
            await self._listen(self.port)

    async def _end(self) -> None:
        await self._refuse()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _cut(self, share: float) -> int:
        chosen = [pair for pair in self._writers.items() if self._rng.random() < share]
        for pair in chosen:
            for writer in pair:
                _reset(writer)
        return len(chosen)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._connect(reader, writer)
        except asyncio.CancelledError:
            _reset(writer)
        finally:
            self._tasks.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections_total += 1
        try:
            target_reader, target = await asyncio.open_connection("127.0.0.1", self.target_port, limit=_CHUNK_BYTES)
        except OSError:
            _reset(writer)
            return
        self._writers[writer] = target
        try:
            await asyncio.gather(self._pump(reader, target), self._pump(target_reader, writer))
        finally:
            del self._writers[writer]
            _reset(writer)
            _reset(target)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copy one direction. Data is read at once and written after its delay: a delay does not limit throughput."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_MAX_CHUNKS)
        out = asyncio.create_task(self._deliver(under_way, writer))
        try:
            while not out.done():
                data = await _read(reader)
                await under_way.put((self._due_s(), data))
                if not data:
                    break
            await out
        finally:
            out.cancel()

    async def _deliver(self, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        while True:
            due_s, data = await under_way.get()
            await asyncio.sleep(max(0.0, due_s - self._loop.time()))
            while self._conditions.hold:
                await self._changed.wait()
            try:
                if not data:
                    writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()
            except (OSError, RuntimeError):
                # The other side has closed: close this side too, so that its reader stops.
                _reset(writer)
                while not under_way.empty():
                    under_way.get_nowait()
                return

    def _due_s(self) -> float:
        now = self._conditions
        return self._loop.time() + now.delay_s + (self._rng.random() * now.jitter_s if now.jitter_s else 0.0)


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(_CHUNK_BYTES)
    except OSError:
        return b""


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST, as a restarted machine answers. Nothing happens when the connection is closed already."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    if not writer.is_closing():
        writer.transport.abort()
