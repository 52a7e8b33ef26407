"""What a W3C trace context says, and where it stands among headers: https://www.w3.org/TR/trace-context/."""

from schemas.headers import TRACEPARENT, Header


def is_sampled(traceparent: str) -> bool:
    """Whether the spans of that trace are recorded: the lowest bit of the flags, which are the last two hex digits."""
    return traceparent[-1] in "13579bdf"


def with_traceparent(headers: list[Header], traceparent: str) -> list[Header]:
    """The headers with this trace context in the place of theirs."""
    return [(TRACEPARENT, traceparent.encode()), *(one for one in headers if one[0] != TRACEPARENT)]
