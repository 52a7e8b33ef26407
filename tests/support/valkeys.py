"""Valkey processes of a test's own: alone, as a cluster of three, or watched by a Sentinel. They end with the test."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import redis

from infra.local.valkey import server_binary
from infra.process.ports import find_ports

START_S = 20.0
SLOTS = 16_384


@contextmanager
def valkey(folder: Path, port: int, *options: str) -> Iterator[Any]:
    """One server without a saved state; a client of it."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        server_binary(),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(folder),
        "--save",
        "",
        *options,
    ]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as process,
        redis.Redis(port=port, protocol=2, driver_info=None) as made,
    ):
        client: Any = made  # its commands have no types
        try:
            until(lambda: _answers(client))
            yield client
        finally:
            process.kill()


@contextmanager
def cluster(folder: Path, nodes: int = 3) -> Iterator[list[int]]:
    """The ports of the nodes of a cluster that own all slots together."""
    found = find_ports(2 * nodes)
    ports, buses = (
        found[:nodes],
        found[nodes:],
    )  # the bus is 10,000 higher by itself, where connections have their ports
    with ExitStack() as running:
        options = ("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port")
        clients = [
            running.enter_context(valkey(folder / str(port), port, *options, str(bus)))
            for port, bus in zip(ports, buses, strict=True)
        ]
        bounds = [SLOTS * number // nodes for number in range(nodes + 1)]
        for client, first, end in zip(clients, bounds, bounds[1:], strict=False):
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[0], buses[0])
        for client in clients:
            until(partial(_is_whole, client))
        yield ports


@contextmanager
def sentinel(folder: Path, primaries: dict[str, int]) -> Iterator[int]:
    """The port of a Sentinel that watches these primaries: their names and ports."""
    [port] = find_ports(1)
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "sentinel.conf"
    config.write_text("".join(f"sentinel monitor {name} 127.0.0.1 {at} 1\n" for name, at in primaries.items()))
    command = [server_binary(), str(config), "--sentinel", "--port", str(port), "--bind", "127.0.0.1"]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as process,
        redis.Redis(port=port, protocol=2, driver_info=None) as client,
    ):
        try:
            until(lambda: _answers(client))
            yield port
        finally:
            process.kill()


def until(is_done: Callable[[], bool]) -> None:
    end_s = time.monotonic() + START_S
    while not is_done():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def _is_whole(client: Any) -> bool:
    return "cluster_state:ok" in str(client.execute_command("CLUSTER", "INFO"))


def _answers(client: Any) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
