"""Which frames are copied is the same for every run."""

import random

from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.spans import Period
from ingest.replay.selection import ALL, Sampler, Selection, place_hash

PLACES = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 2**40)), unique=True, max_size=60)


def test_time_source_and_place_decide_and_the_end_is_not_in_the_range() -> None:
    selection = Selection(Period(1_000_000, 2_000_000), "dock-*")
    assert selection.takes(0, 0, 1_000, b"dock-1")
    assert selection.takes(0, 0, 1_999, b"dock-1")
    assert not selection.takes(0, 0, 2_000, b"dock-1")
    assert not selection.takes(0, 0, 999, b"dock-1")
    assert not selection.takes(0, 0, 1_000, b"gate-1")
    assert not selection.takes(0, 0, 1_000, None)
    assert not Selection(Period(), "Dock-*").takes(0, 0, 1_000, b"dock-1"), "ids are compared letter by letter"


@given(places=PLACES, size=st.integers(1, 70), seed=st.integers())
def test_a_sample_has_its_size_and_does_not_depend_on_the_order(
    places: list[tuple[int, int]], size: int, seed: int
) -> None:
    shuffled = random.Random(seed).sample(places, len(places))
    first, second = Sampler(size), Sampler(size)
    for one, other in zip(places, shuffled, strict=True):
        first.add(*one)
        second.add(*other)
    assert first.below == second.below
    selection = Selection(Period(), below=first.below)
    assert sum(selection.takes(*place, 0, b"a") for place in places) == min(size, len(places)) == len(first)


def test_hashes_are_spread_and_below_their_bound() -> None:
    hashes = [place_hash(partition, offset) for partition in range(12) for offset in range(1_000)]
    assert len(set(hashes)) == len(hashes)
    assert all(0 <= one < ALL for one in hashes)
    shares = [sum(one < ALL * share // 10 for one in hashes) / len(hashes) for share in range(1, 10)]
    assert all(abs(found - share / 10) < 0.02 for share, found in zip(range(1, 10), shares, strict=True))
    assert place_hash(0, 0) == 0xE220A8397B1DCDAF >> 2, "the first number of SplitMix64 with seed 0"
