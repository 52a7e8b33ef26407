"""Time stamps of streams beside a clock."""

import pytest

from ingest.sources.time_stamps import TimeStamps


@pytest.mark.parametrize(
    ("stamps", "jumped_at"),
    [
        pytest.param([0, 1, 2, 3], [], id="as fast as the clock"),
        pytest.param([0, 0, 0, 0], [], id="a camera without any"),
        pytest.param([10, 7, 8, 9], [], id="its first report of RTCP"),
        pytest.param([5, 4.9, 5.2, 9], [], id="frames out of order, and a burst"),
        pytest.param([0, 1, 3600, 3601], [2], id="ahead"),
        pytest.param([100, 101, 2], [2], id="back"),
    ],
)
def test_time_stamps_that_jump_are_told_and_those_that_stand_or_catch_up_are_not(
    stamps: list[float], jumped_at: list[int]
) -> None:
    watched = TimeStamps()
    jumped = [watched.jumped(stamp_s, float(now_s)) for now_s, stamp_s in enumerate(stamps)]
    assert [number for number, has_jumped in enumerate(jumped) if has_jumped] == jumped_at
