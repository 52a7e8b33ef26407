"""What people and programs are told of a replay."""

from dataclasses import replace

from ingest.replay.pacing import parse_rate
from ingest.replay.screen import done_of
from ingest.replay.text import describe, describe_plan, duration, plan_json, progress_json, seconds_json, table
from ingest.replay.wish import Wish
from schemas.replays import OffsetRange, ReplayGap, ReplayPlan, ReplayProgress, ReplayState

GAP = ReplayGap("frames.raw", 0, 0, 5, "retention")
PLAN = ReplayPlan(10, 120_000_000, False, (GAP,), (OffsetRange("frames.raw", 0, 5, 15),))
PROGRESS = ReplayProgress(
    "again", ReplayState.PAUSED, "frames.raw", 0, 60_000_000, 1, 2, "here/1", PLAN, reason="asked\x1b"
)
WISH = Wish(0, 60_000_000)


def test_the_shape_of_the_contract() -> None:
    found = progress_json(PROGRESS, 3, 1)
    assert list(found)[:1] == ["replay_id"]
    assert {"replay_id", "state", "plan", "copied", "labels", "dead"} <= found.keys()
    assert (found["state"], found["labels"], found["dead"]) == ("PAUSED", 3, 1)
    assert found["plan"] == plan_json(PLAN)
    assert found["plan"] == {
        "frames": 10,
        "bytes": 120_000_000,
        "exact": False,
        "gaps": [{"topic": "frames.raw", "partition": 0, "from": 0, "to": 5, "reason": "retention"}],
        "partitions": [{"topic": "frames.raw", "partition": 0, "from": 5, "to": 15}],
    }


def test_a_plan_says_what_is_an_estimate_what_is_gone_and_how_long_it_takes() -> None:
    told = describe_plan(WISH, PLAN)
    assert "about 10 frames, 120.0 MB" in told
    assert "gap: frames.raw/0 offsets 0 to 4: retention" in told
    assert told.endswith("the copy takes about 2 s")
    assert "about" not in describe_plan(WISH, replace(PLAN, exact=True)).splitlines()[0]


def test_the_time_goes_by_the_rate() -> None:
    seconds = [seconds_json(replace(WISH, rate=parse_rate(rate)), PLAN) for rate in (None, "1/s", "10MB/s", "2x")]
    assert seconds == [2.0, 10.0, 12.0, 30.0]
    assert [duration(one) for one in (0.2, 45, 600, 7_500)] == ["1 s", "45 s", "10 min", "2 h 5 min"]


def test_a_status_is_safe_for_a_terminal() -> None:
    told = describe(PROGRESS, 3, 1)
    assert told.splitlines()[0] == "again PAUSED: asked·"
    assert "3 labels, 1 dead letters" in told
    assert "labels" not in describe(PROGRESS)
    header, row = table([PROGRESS]).splitlines()
    assert (header.split()[0], row.split()[:3]) == ("REPLAY", ["again", "PAUSED", "0/~10"])
    long = replace(PROGRESS, replay_id="replay-20261126T170701-ab12", state=ReplayState.IN_PROGRESS, copied=1_000_000)
    assert max(map(len, table([long]).splitlines())) <= 80


def test_the_bar_reaches_its_end_though_the_plan_was_an_estimate() -> None:
    assert done_of(replace(PROGRESS, copied=4)) == (4, 10)
    assert done_of(replace(PROGRESS, copied=12)) == (12, 12)
    assert done_of(replace(PROGRESS, state=ReplayState.COMPLETED, copied=7)) == (7, 7)
    assert done_of(replace(PROGRESS, copied=10, noise=3, noise_copied=2)) == (12, 16)
