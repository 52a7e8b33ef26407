"""Kafka headers that say how labels are cached: not at all, or under which making of the pixels."""

from schemas.canonical import is_digest
from schemas.headers import CACHE, Header, RawHeaders, to_map

NO_CACHE = (CACHE, b"none")
# How the pixels of a MicroBatch were made, as 32 hex digits: cached labels are found by it.
PREPARATION = "sightline-preparation"


def may_be_cached(headers: RawHeaders) -> bool:
    """Whether a label may come from the cache and go there: not with `sightline-cache: none`.

    A replay that runs the same model twice, to see how far its answers differ by themselves, says so.
    """
    return to_map(headers).get(CACHE) != NO_CACHE[1]


def preparation_headers(preparation: str | None) -> list[Header]:
    """The header of a MicroBatch; none for None."""
    return [] if preparation is None else [(PREPARATION, preparation.encode())]


def preparation_of(headers: RawHeaders) -> str | None:
    """How the pixels of a MicroBatch were made; None where it is not told, or by a value of another form."""
    value = to_map(headers).get(PREPARATION, b"").decode(errors="replace")
    return value if is_digest(value) else None
