"""The cache's key-value store in the memory of this process; the contract suite runs on it and on Redis."""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence


class MemoryKeyValues:
    """Bounded: beyond `max_bytes` the oldest values are dropped.

    It ignores the time to live: the values do not outlive the process.
    """

    def __init__(self, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._values: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    async def get_many(self, keys: Sequence[str], timeout_s: float | None = None) -> list[bytes | None]:
        with self._lock:
            return [self._values.get(key) for key in keys]

    def set_many(self, values: Mapping[str, bytes], ttl_s: int) -> None:
        with self._lock:
            for key, value in values.items():
                self._bytes += len(value) - len(self._values.pop(key, b""))
                self._values[key] = value
            while self._bytes > self._max_bytes:
                self._bytes -= len(self._values.popitem(last=False)[1])

    async def aclose(self) -> None:
        return

    def close(self) -> None:
        return
