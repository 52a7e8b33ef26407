"""How often a thing that happens again and again is told."""

from infra.process.now_and_then import NowAndThen


def test_the_first_is_told_at_once_and_the_others_together() -> None:
    told = NowAndThen(60.0)
    assert [told.count("gone", now_s) for now_s in (0.0, 0.1, 59.9, 60.0, 60.1, 200.0)] == [1, 0, 0, 3, 0, 2]


def test_each_kind_is_told_for_itself() -> None:
    told = NowAndThen(60.0)
    assert [told.count(kind, 0.0) for kind in ("gone", "late", "gone")] == [1, 1, 0]
