"""Clocks jump: those of cameras (the capture times in frames), and that of the machine while processes run."""

from pathlib import Path

import pytest

from tests.faults.conftest import RigMaker

HOUR_S, DAY_S = 3600.0, 86_400.0
# The library of Debian's `faketime`. Only the wall clock is changed, as a real jump does not change the monotonic one.
LIBFAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


def test_cameras_jump(make_rig: RigMaker) -> None:
    """Nothing is ordered or expired by capture times."""
    rig = make_rig("clocks of cameras jump (12 h and 20 days back, 30 min ahead)")
    shifts_s = (0.0, -DAY_S / 2, HOUR_S / 2, -20 * DAY_S)
    rig.start_stages()
    rig.send(rate_per_s=50, max_frames=1000, captured_shift_s=lambda seq: shifts_s[seq // 20 % len(shifts_s)]).wait(60)
    ledger = rig.settle()
    assert ledger.labels == 1000
    assert not rig.stream.restarts
    assert not rig.infer.restarts


@pytest.mark.skipif(LIBFAKETIME is None, reason="libfaketime is missing: sudo apt-get install -y faketime")
@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
def test_machine_jumps(make_rig: RigMaker, tmp_path: Path, jump_s: float) -> None:
    """The wall clock of both stages jumps while they run, and back again."""
    clock = tmp_path / "clock"
    clock.write_text("+0")
    rig = make_rig(f"the wall clock of the stages jumps by {jump_s / HOUR_S:+g} h, and back")
    fake = {
        "LD_PRELOAD": str(LIBFAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
    }
    rig.keep("stream", "stream", "--model", "null", ready=False, **fake)
    rig.keep("infer", "infer", "--model", "null", ready=False, **fake)
    rig.wait_ready()
    rig.send(rate_per_s=50)
    rig.wait_flowing()
    for shift in (f"{jump_s:+g}", "+0"):
        clock.write_text(shift)
        rig.wait(2.0)
        rig.harm_is_over()
        rig.wait_flowing()
        rig.wait(3.0)
    rig.settle()
    assert not rig.stream.restarts
    assert not rig.infer.restarts
