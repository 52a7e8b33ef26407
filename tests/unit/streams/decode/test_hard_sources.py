"""Which sources are hard, and until when."""

from streams.decode.hard_sources import FORGET_S, HARD_S, MAX_SOURCES, HardSources


def test_a_source_is_hard_until_its_pictures_were_easy_for_a_while() -> None:
    hard = HardSources()
    assert not hard.is_hard("camera", 0.0)
    hard.suspect("camera", 0.0)
    assert hard.judge("camera", HARD_S, True, 3.0), "it is told"
    assert not hard.judge("camera", 10 * HARD_S, False, 10.0), "once"
    assert not hard.judge("camera", 0.001, False, 11.0)
    assert hard.is_hard("camera", 10.0 + FORGET_S - 1)
    assert not hard.is_hard("camera", 10.0 + FORGET_S)


def test_a_suspicion_ends_with_the_picture() -> None:
    hard = HardSources()
    hard.suspect("camera", 0.0)
    assert hard.is_hard("camera", 1.0)
    assert not hard.judge("camera", HARD_S / 2, True, 2.0)
    assert not hard.is_hard("camera", 2.0)


def test_the_memory_is_bounded() -> None:
    hard = HardSources()
    for number in range(2 * MAX_SOURCES):
        hard.suspect(number, 0.0)
    assert sum(hard.is_hard(number, 1.0) for number in range(2 * MAX_SOURCES)) == MAX_SOURCES
    assert hard.is_hard(2 * MAX_SOURCES - 1, 1.0)
