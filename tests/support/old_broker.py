"""A Kafka broker that speaks only what Kafka 0.10 spoke: enough for a client that looks for brokers and joins a group.

What it advertises, and that it knows no KIP-848, is all that a test needs of it. Listens on 127.0.0.1.
"""

import socketserver
import struct
import threading
from collections.abc import Callable

METADATA, FIND_COORDINATOR, JOIN_GROUP, API_VERSIONS = 3, 10, 11, 18
# The first and last version of each request (Produce, Fetch, ListOffsets, ...) that a member of a group needs.
VERSIONS = {
    0: (0, 2), 1: (0, 2), 2: (0, 1), METADATA: (0, 1), 8: (0, 2), 9: (0, 1), FIND_COORDINATOR: (0, 0),
    JOIN_GROUP: (0, 0), 12: (0, 0), 13: (0, 0), 14: (0, 0), API_VERSIONS: (0, 0),
}  # fmt: skip
UNKNOWN_TOPIC, UNSUPPORTED_VERSION = 3, 35


def text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def wanted_topics(request: bytes) -> list[str]:
    """The names in a Metadata request of version 0 or 1; none for all topics."""
    place = 10 + struct.unpack_from(">h", request, 8)[0]  # behind the client's id
    count, place = struct.unpack_from(">i", request, place)[0], place + 4
    names = []
    for _ in range(count):
        size = struct.unpack_from(">h", request, place)[0]
        names.append(request[place + 2 : place + 2 + size].decode())
        place += 2 + size
    return names


class OldBroker:
    """`join_requests` are the bodies of the requests to join a group with the classic protocol; none is answered."""

    def __init__(self, advertised: tuple[str, int] | None = None) -> None:
        self.join_requests: list[bytes] = []
        self.joined = threading.Event()
        broker = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while size := self.rfile.read(4):
                    request = self.rfile.read(struct.unpack(">i", size)[0])
                    key, version, correlation = struct.unpack_from(">hhi", request)
                    answer = broker.answer(key, version, request)
                    if answer is not None:
                        body = struct.pack(">i", correlation) + answer
                        self.wfile.write(struct.pack(">i", len(body)) + body)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.port: int = self._server.server_address[1]
        self.advertised = advertised or ("127.0.0.1", self.port)
        self._thread = threading.Thread(target=self._server.serve_forever, name="old-broker", daemon=True)

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> "OldBroker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, key: int, version: int, request: bytes) -> bytes | None:
        answers: dict[int, Callable[[], bytes]] = {
            API_VERSIONS: lambda: self._api_versions(version),
            METADATA: lambda: self._metadata(version, request),
            FIND_COORDINATOR: lambda: struct.pack(">hi", 0, 1) + self._address(),
        }
        if key == JOIN_GROUP:
            self.join_requests.append(request)
            self.joined.set()
        return answers[key]() if key in answers else None

    def _api_versions(self, version: int) -> bytes:
        rows = b"".join(struct.pack(">hhh", key, *bounds) for key, bounds in VERSIONS.items())
        return struct.pack(">hi", UNSUPPORTED_VERSION if version else 0, len(VERSIONS)) + rows

    def _metadata(self, version: int, request: bytes) -> bytes:
        """One broker, and of the wanted topics, or of all, `labels` with one partition."""
        rack, controller, internal = (
            (struct.pack(">h", -1), struct.pack(">i", 1), b"\0") if version else (b"", b"", b"")
        )
        partition = struct.pack(">hiiiiii", 0, 0, 1, 1, 1, 1, 1)  # no error, number, leader, replicas, in sync
        topics = []
        for name in wanted_topics(request) or ["labels"]:
            is_known = name == "labels"
            partitions = struct.pack(">i", is_known) + (partition if is_known else b"")
            error = 0 if is_known else UNKNOWN_TOPIC
            topics.append(struct.pack(">h", error) + text(name) + internal + partitions)
        brokers = struct.pack(">ii", 1, 1) + self._address() + rack
        return brokers + controller + struct.pack(">i", len(topics)) + b"".join(topics)

    def _address(self) -> bytes:
        host, port = self.advertised
        return text(host) + struct.pack(">i", port)
