"""The sources with the most events are kept, whatever the number of sources."""

import random

from inference.labelling.top_sources import COUNTED, TopSources


def top(limit: int = 3) -> TopSources[list[str]]:
    return TopSources(limit, list, every_s=10)


def test_all_are_kept_while_there_is_room() -> None:
    found = top()
    assert [found.add(name) is not None for name in "abcd"] == [True, True, True, False]


def test_the_busiest_are_found_among_many_and_memory_is_bounded() -> None:
    found, chance = top(), random.Random(5)
    for number in range(20_000):
        found.add(chance.choice("xyz") if chance.random() < 0.5 else f"crawl-{number}")
        found.rank(number / 1_000)
    assert set(found.kept) == set("xyz")
    assert len(found._counts) <= COUNTED * 3


def test_a_quiet_source_stays_until_another_needs_its_place() -> None:
    found = top()
    for name in "abc":
        found.add(name)
    for now_s in range(0, 200, 10):
        assert found.rank(now_s) == []
    assert set(found.kept) == set("abc")
    kept = found.kept["a"]
    for _ in range(5):
        found.add("a")
        found.add("d")
    assert found.rank(300) == ["c"], "one of the two quiet ones"
    assert found.kept["a"] is kept
    assert "d" in found.kept


def test_a_limit_of_none_keeps_none() -> None:
    found = top(0)
    assert found.add("a") is None
    assert found.rank(0) == found.rank(100) == []
