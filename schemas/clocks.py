"""The time of a frame's record, where the frame's `captured_at` does not tell it: the header `sightline-clock`.

A record normally has the time `captured_at`. Where that is not credible, the record has the time of sending, because
Kafka's retention goes by the time of the record. The header then carries the record's time, in milliseconds since
1970; it travels on to batches, labels, retries and dead letters, so that their readers know when the frame came.
"""

from collections.abc import Sequence

from schemas.headers import CLOCK, ITEM_CLOCKS, Header, RawHeaders, decimal, to_map
from schemas.records import Micros

# Other producers give a record the time of sending, which is a little later than the capture: no reason for a header.
TOLERANCE_MS = 60_000


def clock_of(captured_at: Micros, record_ms: int) -> int | None:
    """The time of a frame's record where `captured_at` does not tell it; None where it does, or nothing is known."""
    return record_ms if record_ms > 0 and abs(captured_at // 1000 - record_ms) > TOLERANCE_MS else None


def clock_headers(record_ms: int | None) -> list[Header]:
    """The header of a frame or of a label; none for None."""
    return [] if record_ms is None else [(CLOCK, str(record_ms).encode())]


def read_clock(headers: RawHeaders) -> int | None:
    """The time of the frame's record, if the headers tell it; None also for a value that is no time."""
    return _time(to_map(headers).get(CLOCK, b""))


def batch_clocks(clocks: Sequence[int | None]) -> list[Header]:
    """The header of a MicroBatch, with a value for each of its frames; none where no frame has one."""
    if all(clock is None for clock in clocks):
        return []
    return [(ITEM_CLOCKS, ",".join("" if clock is None else str(clock) for clock in clocks).encode())]


def read_batch_clocks(headers: RawHeaders, count: int) -> list[int | None]:
    """The value of each of the `count` frames of a MicroBatch."""
    each = to_map(headers).get(ITEM_CLOCKS, b"").split(b",")
    return [_time(one) for one in each] if len(each) == count else [None] * count


def _time(value: bytes) -> int | None:
    found = decimal(value)
    return found if found is not None and found > 0 else None
