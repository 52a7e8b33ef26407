"""Which time a frame's record gets on its topic. Pure: the time of sending is an argument.

Kafka's retention goes by the times of records. A camera whose clock stands at 1970 would lose its frames with the next
retention check, and one whose clock is in 2099 would keep its partition from ever being cleaned.
"""

from dataclasses import dataclass
from enum import StrEnum

from schemas.records import Micros

# So far ahead of this machine's clock a capture time is believed: clocks that are set by a time server differ by less.
AHEAD_US = 5 * 60 * 1_000_000
HOUR_US = 3_600_000_000


class Clock(StrEnum):
    """What is wrong with the clock of a source, as far as its frames tell. A label of a metric."""

    BEHIND = "behind"
    AHEAD = "ahead"


@dataclass(frozen=True, slots=True)
class RecordTime:
    """`at` is the time of the record: `captured_at`, or with a `fault` the time of sending."""

    at: Micros
    fault: Clock | None = None


def record_time(captured_at: Micros, sent_at: Micros, retention_us: int) -> RecordTime:
    """`captured_at` where it lies within [sending - half of the retention, sending + 5 min], else the time of sending.

    Half of the retention is the least that a record stays on its topic.
    """
    if captured_at < sent_at - retention_us // 2:
        return RecordTime(sent_at, Clock.BEHIND)
    if captured_at > sent_at + AHEAD_US:
        return RecordTime(sent_at, Clock.AHEAD)
    return RecordTime(captured_at)
