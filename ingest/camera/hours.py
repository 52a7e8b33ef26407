"""The hours in which a camera is read, as in `active_hours = ["07:00-19:30"]`. Pure: the time is an argument."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

SPAN = re.compile(r"(\d{2}):(\d{2})-(\d{2}):(\d{2})")
DAY_MIN = 24 * 60


@dataclass(frozen=True, slots=True)
class ActiveHours:
    """Spans of minutes of the local day; one that ends before it begins goes over midnight. None at all: always."""

    spans: tuple[tuple[int, int], ...] = ()

    def include(self, minute_of_day: int) -> bool:
        """Whether the camera is to be read in this minute."""
        if not self.spans:
            return True
        return any(
            begin <= minute_of_day < end if begin < end else minute_of_day >= begin or minute_of_day < end
            for begin, end in self.spans
        )


ALWAYS = ActiveHours()


def parse_hours(texts: Sequence[str]) -> ActiveHours:
    """Raises ValueError with the text that is no span of hours."""
    return ActiveHours(tuple(_span(text) for text in texts))


def _span(text: str) -> tuple[int, int]:
    found = SPAN.fullmatch(text)
    if found is None:
        raise ValueError(text)
    begin_h, begin_min, end_h, end_min = map(int, found.groups())
    begin, end = begin_h * 60 + begin_min, end_h * 60 + end_min
    if max(begin_min, end_min) > 59 or begin >= DAY_MIN or end > DAY_MIN or begin == end:
        raise ValueError(text)
    return begin, end
