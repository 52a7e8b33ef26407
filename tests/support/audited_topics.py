"""Topics in memory for audits, and an audit of them."""

from collections.abc import Callable, Iterable, Iterator

from infra.audit.audit import Audit
from infra.audit.balance import Balance
from infra.kafka.records import ConsumedRecord
from infra.kafka.spans import Span
from infra.settings import Settings
from schemas import codec
from schemas.clocks import clock_headers
from schemas.coordinates import Coordinates, TopicPartition
from schemas.headers import RawHeaders
from schemas.records import Micros
from tests.support.sink_records import a_label

MINUTE_MS = 60_000
NOW_MS = 1_800_000_000_000
FRAMES, LABELS = "frames.raw", "labels"


class Topics:
    """Topics with one partition each. As in Kafka, a look-up by time returns the first record that is not older."""

    def __init__(self) -> None:
        self.logs: dict[str, list[ConsumedRecord]] = {}
        self.starts: dict[str, int] = {}
        self.expired: list[Span] = []
        self.read_offsets: dict[str, set[int]] = {}

    def put(self, topic: str, timestamp_ms: int, value: bytes = b"x", headers: RawHeaders = None) -> int:
        log = self.logs.setdefault(topic, [])
        log.append(ConsumedRecord(topic, 0, len(log), timestamp_ms, None, value, headers))
        return len(log) - 1

    def label(
        self, frame: int, captured_ms: int, labelled_ms: int, clock_ms: int | None = None, frame_id: str = "dock-1/1/1"
    ) -> None:
        times = {"captured_at": captured_ms * 1000, "labelled_at": labelled_ms * 1000}
        label = a_label(Coordinates(FRAMES, 0, frame), frame_id=frame_id, **times)
        self.put(LABELS, labelled_ms, codec.encode(label), clock_headers(clock_ms))

    def spans(self, topic: str, from_us: Micros | None = None) -> list[Span]:
        log, start = self.logs.get(topic, []), self.starts.get(topic, 0)
        if from_us is not None:
            late = (record.offset for record in log[start:] if record.timestamp_ms * 1000 >= from_us)
            start = next(late, len(log))
        return [Span(topic, 0, start, len(log))]

    def log_starts(self, keys: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {key: self.starts.get(key[0], 0) for key in keys}

    def first_times_ms(self, keys: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        left = {key: self.logs.get(key[0], [])[self.starts.get(key[0], 0) :] for key in keys}
        return {key: records[0].timestamp_ms if records else -1 for key, records in left.items()}

    def read(self, spans: Iterable[Span], stop: Callable[[], bool]) -> Iterator[ConsumedRecord]:
        for span in spans:
            for record in self.logs.get(span.topic, [])[max(span.start, self.starts.get(span.topic, 0)) : span.end]:
                if stop():
                    return
                assert record.offset not in self.read_offsets.setdefault(span.topic, set()), "read twice"
                self.read_offsets[span.topic].add(record.offset)
                yield record


def audited(topics: Topics, from_ms: int | None = None, to_ms: int | None = None) -> tuple[Balance, list[str]]:
    from_us, to_us = (None if at_ms is None else at_ms * 1000 for at_ms in (from_ms, to_ms))
    topics.read_offsets.clear()
    audit = Audit.of_time(Settings(), topics, "live", from_us, to_us)  # type: ignore[arg-type]
    balance = audit.settle()
    return balance, audit.notes(balance)
