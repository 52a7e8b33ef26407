"""A small sample is fetched frame by frame."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.spans import Span
from ingest.replay import candidates as module
from ingest.replay.candidates import candidates, is_sparse, place_hashes
from ingest.replay.selection import ALL, place_hash


@given(partition=st.integers(0, 10_000), start=st.integers(0, 2**43), length=st.integers(0, 50))
def test_the_hashes_are_those_of_single_places(partition: int, start: int, length: int) -> None:
    found = place_hashes(partition, start, start + length)
    assert [int(one) for one in found] == [place_hash(partition, offset) for offset in range(start, start + length)]


@pytest.mark.parametrize("chunk", [7, 1_000_000])
def test_the_parts_hold_exactly_the_places_below_the_bound(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    spans, below = [Span("frames.raw", 0, 5, 400), Span("frames.raw", 3, 0, 90), Span("frames.raw", 4, 7, 7)], ALL // 5
    parts = list(candidates(spans, below))
    places = [(part.partition, offset) for part in parts for offset in range(part.start, part.end)]
    wanted = [(span.partition, offset) for span in spans for offset in range(span.start, span.end)]
    assert places == [place for place in wanted if place_hash(*place) < below]


def test_only_a_small_share_is_worth_it() -> None:
    assert is_sparse(ALL // 100)
    assert not is_sparse(ALL // 2)
