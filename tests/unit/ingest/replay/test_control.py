"""Whether a copier is alive, as far as can be told."""

import os
import subprocess
import sys
from dataclasses import replace

from ingest.replay.control import SILENT_S, has_ended_here, is_silent, this_process
from schemas.replays import ReplayPlan, ReplayProgress, ReplayState

PROGRESS = ReplayProgress(
    "again", ReplayState.IN_PROGRESS, "frames.raw", 0, 1, 0, 1_000_000, "elsewhere/1", ReplayPlan(0, 0, True)
)


def test_a_process_of_this_machine_is_seen_to_have_ended_also_while_nobody_has_buried_it() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    place = f"{this_process().rpartition('/')[0]}/{child.pid}"
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert has_ended_here(place), "a zombie"
    child.wait()
    assert has_ended_here(place)
    assert not has_ended_here(this_process())
    assert not has_ended_here("elsewhere/1")
    assert not has_ended_here("nobody")


def test_elsewhere_silence_tells() -> None:
    late = 1_000_000 + int(SILENT_S * 1e6)
    assert not is_silent(PROGRESS, late)
    assert is_silent(PROGRESS, late + 1)
    assert not is_silent(replace(PROGRESS, process=this_process()), late)
