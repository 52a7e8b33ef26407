"""What a day says of a camera: which promises it kept."""

from dataclasses import replace

import pytest

from tests.faults.day_cameras import Away, DayCamera
from tests.faults.day_report import Row, Seen, table

LENGTH_S = 300.0
GOOD = DayCamera("good", "nothing", "sim:coffee", is_good=True)
BAD = DayCamera("bad", "nobody listens", "http://127.0.0.1", away=Away(60.0, 15.0))
FRAMES_S = [number / 5 for number in range(1500)]


def row(camera: DayCamera, received_s: list[float], p95_s: float = 0.2, dead: int = 0, reconnects: int = 0) -> Row:
    return Row(camera, Seen(received_s, [p95_s] * 100, dead, reconnects), LENGTH_S)


def test_a_good_camera_that_nobody_touched_has_no_fault() -> None:
    assert row(GOOD, FRAMES_S).faults == []


@pytest.mark.parametrize(
    ("touched", "fault"),
    [
        (row(GOOD, [at for at in FRAMES_S if not 100 < at < 130]), "good: up 91% of the time"),
        (row(GOOD, FRAMES_S[::2]), "good: 54% of its frames"),
        (row(GOOD, FRAMES_S, p95_s=2.5), "good: p95 is 2.5 s"),
        (row(GOOD, FRAMES_S, dead=1), "good: 1 dead letters"),
        (row(GOOD, FRAMES_S, reconnects=1), "good: 1 reconnects"),
        (row(BAD, [at for at in FRAMES_S if not 90 < at < 165]), "bad: up 75% of the time"),
        (row(BAD, []), "bad: up 0% of the time"),
    ],
    ids=["gap", "slow", "late", "dead", "reconnected", "not back", "never there"],
)
def test_what_is_missing_is_told(touched: Row, fault: str) -> None:
    assert fault in touched.faults


def test_a_bad_camera_need_not_be_up_while_it_is_away_nor_right_behind_that() -> None:
    there = [at for at in FRAMES_S if at % 60 < 45 and (at < 60 or at % 60 > 19)]
    assert row(BAD, there, reconnects=5).faults == []


def test_a_hard_camera_is_as_late_as_its_pictures_take() -> None:
    hard = replace(BAD, away=None, is_hard=True)
    assert row(hard, FRAMES_S, p95_s=60.0, dead=3).faults == []


def test_the_table_has_a_line_for_each_camera() -> None:
    assert table([row(GOOD, FRAMES_S), row(BAD, FRAMES_S, reconnects=2)]).splitlines()[2:] == [
        "| good | nothing | 1500 | 100% | 0.20 s | 0 | 0 |",
        "| bad | nobody listens | 1500 | 100% | 0.20 s | 0 | 2 |",
    ]
