"""The internet of the crawler's end-to-end test, in a network namespace that has no way out.

`python -m tests.support.crawl_world PAGES LOG BROKER_PORT BROKER_SOCKET` serves in its namespace, until it is killed:
the site on a global address, a name server, traps on addresses that nobody may connect to, and the broker, whose
connections go through a Unix socket to the test outside. The namespace is made and removed by `world`.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from ingest.crawl.local_site import start
from tests.support.crawl_site import Site
from tests.support.paths import ROOT

# A global address, so that what ships is what is tested. It exists on the loopback device of the namespace alone.
SITE_ADDRESS = "93.184.215.14"
TRAP_ADDRESSES = ("127.0.0.1", "169.254.169.254", "10.0.0.1", "100.64.0.1", "192.168.7.7")
TRAP_PORT = 9090
# What names answer, in turn; the last answer stays.
NAMES = {
    "site.test": [[SITE_ADDRESS]],
    "mixed.test": [[SITE_ADDRESS, "10.0.0.1"]],
    "rebinding.test": [[SITE_ADDRESS], ["127.0.0.1"]],
    "inside.test": [["192.168.7.7"]],
}
MORE = "".join(
    f'<img src="http://{host}/image/{number}.jpg">'
    for number, host in enumerate(("mixed.test", "rebinding.test", "inside.test", "100.64.0.1"), 100_000)
)


class NameServer(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self._asked: dict[str, int] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]
        question, kind = data[12 : at + 5], struct.unpack_from(">H", data, at + 1)[0]
        addresses = self._addresses(".".join(labels)) if kind == 1 else []
        flags = 0x8180 if ".".join(labels) in NAMES else 0x8183
        answers = b"".join(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04" + socket.inet_aton(a) for a in addresses)
        head = data[:2] + struct.pack(">HHHHH", flags, 1, len(addresses), 0, 0)
        self._transport.sendto(head + question + answers, sender)

    def _addresses(self, name: str) -> list[str]:
        answers = NAMES.get(name, [[]])
        number = self._asked[name] = self._asked.get(name, -1) + 1
        return answers[min(number, len(answers) - 1)]


async def serve(pages: int, log: Path, broker_port: int, broker_socket: str) -> None:
    async def trap(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with log.with_name("trapped").open("a") as file:
            file.write(f"{writer.get_extra_info('sockname')}\n")
        writer.close()

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        out_reader, out_writer = await asyncio.open_unix_connection(broker_socket)
        await asyncio.gather(_copy(reader, out_writer), _copy(out_reader, writer))

    await start(Site(pages, trap=TRAP_PORT, log=log, more=MORE).answer, SITE_ADDRESS, 80)
    for address in TRAP_ADDRESSES:
        for port in (80, TRAP_PORT):
            await asyncio.start_server(trap, address, port)
    await asyncio.start_server(broker, "127.0.0.1", broker_port)
    await asyncio.get_running_loop().create_datagram_endpoint(NameServer, ("127.0.0.1", 53))
    print("serving", flush=True)
    await asyncio.Event().wait()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


def unavailable() -> str | None:
    """Why no network namespace can be made here; None where one can."""
    if shutil.which("ip") is None:
        return "`ip` is missing (Debian: iproute2)"
    if os.geteuid() != 0:
        return "network namespaces need root"
    name = f"sightline-{uuid.uuid4().hex[:8]}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
    return f"`ip netns add` fails: {tried.stderr.strip()}" if tried.returncode else None


@contextlib.contextmanager
def world(pages: int, log: Path, broker_port: int) -> Iterator[list[str]]:
    """The words that go before a command which is to run in it."""
    name = f"sightline-{uuid.uuid4().hex[:8]}"
    inside = ["ip", "netns", "exec", name]
    resolver = Path("/etc/netns") / name
    made_parent = not resolver.parent.exists()
    with contextlib.ExitStack() as closing:
        subprocess.run(["ip", "netns", "add", name], check=True)
        closing.callback(subprocess.run, ["ip", "netns", "delete", name], check=True)
        resolver.mkdir(parents=True)
        if made_parent:
            closing.callback(resolver.parent.rmdir)
        closing.callback(shutil.rmtree, resolver)
        (resolver / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:2 attempts:1\n")
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        for address in (SITE_ADDRESS, *TRAP_ADDRESSES[1:]):
            subprocess.run([*inside, "ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
        door = closing.enter_context(_door(log.with_name("broker.sock"), broker_port))
        command = [sys.executable, "-m", "tests.support.crawl_world", str(pages), str(log), str(broker_port), door]
        process = subprocess.Popen([*inside, *command], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        closing.callback(process.wait)
        closing.callback(process.kill)
        assert process.stdout is not None
        closing.callback(process.stdout.close)
        assert process.stdout.readline() == "serving\n"
        yield inside


@contextlib.contextmanager
def _door(path: Path, broker_port: int) -> Iterator[str]:
    """A Unix socket that leads to the broker. The file system is the same in every network namespace."""
    loop, started = asyncio.new_event_loop(), threading.Event()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        out_reader, out_writer = await asyncio.open_connection("127.0.0.1", broker_port)
        await asyncio.gather(_copy(reader, out_writer), _copy(out_reader, writer))

    async def serve_door() -> None:
        server = await asyncio.start_unix_server(connection, path)
        started.set()
        async with server:
            await stopping.wait()

    stopping = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve_door(),), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield str(path)
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join(10)
        for task in asyncio.all_tasks(loop):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(task)
        loop.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
