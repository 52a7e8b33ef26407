"""From where to where a subscriber reads."""

from dataclasses import dataclass, replace

from infra.kafka.reader import Reader
from infra.kafka.spans import Period, Span
from infra.process.times import parse_time, parse_time_range
from schemas.errors import ConfigError
from schemas.records import Micros
from sinks.subscribe.positions import Positions

END = "end"
# Clocks of the machines that write labels differ by less than this, so a label of a time lies no further behind.
CLOCK_MARGIN_US = 10 * 60 * 1_000_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """`from_us` and `to_us` bound the time of a label's record. `has_end`: reading ends at offsets fixed at the start.

    Without `to_us` that end is the present one of each partition. Without any bound only new labels are read. Each
    record is asked for its time: records of several writers are out of order, and the first one that the broker finds
    for a time may be the marker of a transaction, with older labels behind it.
    """

    from_us: Micros | None = None
    to_us: Micros | None = None
    has_end: bool = False

    @staticmethod
    def parse(from_: str | None, to: str | None, now: Micros, *, with_positions: bool = False) -> "Bounds":
        """Those of `--from` and `--to`. Raises ConfigError for what cannot be."""
        if to is None or to == END:
            return Bounds(None if from_ is None else parse_time(from_, now), None, to == END)
        if with_positions:
            raise ConfigError(f"--positions goes on where reading ended: with it, --to takes `{END}` and no time")
        from_us, to_us = parse_time_range(from_, to, now)
        if to_us is not None and to_us > now:
            raise ConfigError(f"--to {to} is in the future: the end is fixed at the start. Without --to it goes on")
        return Bounds(from_us, to_us, True)

    def holds(self, timestamp_ms: int) -> bool:
        """Whether a record of that time is wanted; asked of every record that is read."""
        return Period(self.from_us, self.to_us).holds(timestamp_ms)

    def going_on(self, positions: Positions | None) -> "Bounds":
        """Without the time to begin at, where the positions of a file say it."""
        return replace(self, from_us=None) if positions is not None and positions.offsets else self

    def spans(self, reader: Reader, topic: str, positions: Positions | None) -> list[Span]:
        """The offsets to read now; the ends matter only where `has_end`. Positions of a file come first."""
        if positions is not None and positions.offsets:
            return positions.start(reader.spans(topic))
        if self.from_us is None and not self.has_end:
            return reader.tail(topic)
        return reader.spans(topic, self.from_us, None if self.to_us is None else self.to_us + CLOCK_MARGIN_US)
