"""`sightline camera discover`: asks the local network for ONVIF cameras."""

import contextlib
import json
import select
import socket
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Annotated

import psutil
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.commands.options import JsonOption
from ingest.camera.discovery import GROUP, MAX_ANSWER_BYTES, PORT, PROBE, FoundCamera, found_camera

# Datagrams get lost: the probe is sent as often, so far apart (WS-Discovery, appendix I).
SENDS, SEND_EVERY_S = 2, 0.3
ANSWER_WAIT_S = 0.05
MAX_CAMERAS = 1_000

WaitOption = Annotated[float, typer.Option(help="Seconds to wait for answers.", min=0.1, max=60.0)]


def command(wait_s: WaitOption = 3.0, as_json: JsonOption = False) -> None:
    """List the ONVIF cameras that answer in the local networks of this machine, with their lines for cameras.toml.

    Cameras beyond a router are not asked. With --json one array.
    """
    found = discover(local_addresses(), (GROUP, PORT), wait_s)
    if as_json:
        print(json.dumps([{**asdict(camera), "toml": camera.toml} for camera in found]))
    elif found:
        Console().print(_table(found))
        print("\nFor cameras.toml, with the path of the stream that the maker names:\n")
        print("\n\n".join(camera.toml for camera in found))
    else:
        print(f"no ONVIF camera answered within {wait_s:g} s; some answer only once ONVIF is switched on in them")


def local_addresses() -> list[str]:
    """The IPv4 addresses of this machine, from each of which the probe is sent."""
    found = [one.address for many in psutil.net_if_addrs().values() for one in many if one.family == socket.AF_INET]
    return [address for address in found if not address.startswith("127.")]


def discover(addresses: Iterable[str], target: tuple[str, int], wait_s: float) -> list[FoundCamera]:
    """The cameras that answer within `wait_s`, by their hosts; at most MAX_CAMERAS."""
    message_id = f"uuid:{uuid.uuid4()}"
    probe = PROBE.format(message_id=message_id).encode()
    found: dict[tuple[str, str], FoundCamera] = {}
    with contextlib.ExitStack() as closing:
        sockets = [closing.enter_context(_socket(address)) for address in addresses]
        begun_s, sent = time.monotonic(), 0
        while sockets and (elapsed_s := time.monotonic() - begun_s) < wait_s and len(found) < MAX_CAMERAS:
            if sent < SENDS and elapsed_s >= sent * SEND_EVERY_S:
                sent += 1
                for one in sockets:
                    with contextlib.suppress(OSError):  # an interface without a route to the group
                        one.sendto(probe, target)
            for data, host in _answers(sockets):
                camera = found_camera(data, message_id, host)
                if camera is not None:
                    found[camera.host, camera.endpoint] = camera
    return sorted(found.values(), key=lambda camera: (camera.host, camera.endpoint))


def _socket(address: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
    made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
    made.bind((address, 0))
    made.setblocking(False)
    return made


def _answers(sockets: Sequence[socket.socket]) -> Iterable[tuple[bytes, str]]:
    readable, _, _ = select.select(sockets, [], [], ANSWER_WAIT_S)
    for one in readable:
        with contextlib.suppress(BlockingIOError):  # a datagram with a wrong checksum is readable and then none
            data, (host, _) = one.recvfrom(MAX_ANSWER_BYTES + 1)
            yield data, host


def _table(found: Sequence[FoundCamera]) -> Table:
    table = Table(box=None)
    for title in ("address", "name", "model", "ONVIF service"):
        table.add_column(title)
    for camera in found:
        table.add_row(*map(Text, (camera.host, camera.name, camera.model, camera.service)))
    return table
