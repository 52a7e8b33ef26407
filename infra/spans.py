"""Places on topics: ranges of offsets, and the records that lie there. Pure."""

from dataclasses import dataclass

from schemas.headers import RawHeaders

Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets `start` to `end`, without `end`, of one partition."""

    topic: str
    partition: int
    start: int
    end: int

    @property
    def key(self) -> Key:
        return self.topic, self.partition

    def __len__(self) -> int:
        return max(0, self.end - self.start)


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it lies on its topic."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: RawHeaders

    @property
    def span_key(self) -> Key:
        return self.topic, self.partition
