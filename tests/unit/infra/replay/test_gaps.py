"""What replays could not read, as the audit of the lane tells it."""

from infra.replay.gaps import MissedByReplay, missed
from schemas.replays import ReplayGap, ReplayPlan, ReplayProgress, ReplayState
from sinks.audit.text import MAX_GAPS_NAMED, gap_notes


def gap(partition: int, from_offset: int, to_offset: int) -> ReplayGap:
    return ReplayGap("frames.raw", partition, from_offset, to_offset, "removed by retention")


def replay(replay_id: str, started_at: int, updated_at: int, plan: int = 0, running: int = 0) -> ReplayProgress:
    return ReplayProgress(
        replay_id=replay_id,
        state=ReplayState.COMPLETED,
        topic="frames.raw",
        from_at=0,
        to_at=1,
        started_at=started_at,
        updated_at=updated_at,
        process="p",
        plan=ReplayPlan(1, 1, True, tuple(gap(0, number, number + 1) for number in range(plan))),
        gaps=tuple(gap(1, 10 * number, 10 * number + 10) for number in range(running)),
    )


def test_gaps_of_the_plan_and_of_the_run_are_told_the_oldest_replay_first() -> None:
    found = missed([replay("late", 50, 60, running=1), replay("early", 10, 20, plan=1, running=1)])
    assert [(one.replay_id, one.gap.partition) for one in found] == [("early", 0), ("early", 1), ("late", 1)]


def test_only_replays_that_copied_in_the_time_count() -> None:
    replays = [replay("a", 10, 20, plan=1), replay("b", 30, 40, plan=1), replay("c", 50, 60, plan=1)]
    assert [one.replay_id for one in missed(replays, 21, 50)] == ["b"]
    assert [one.replay_id for one in missed(replays, 20)] == ["a", "b", "c"]
    assert [one.replay_id for one in missed(replays, None, 30)] == ["a"]


def test_a_gap_is_a_sentence_and_an_object() -> None:
    one, run = MissedByReplay("r1", gap(3, 7, 8)), MissedByReplay("r1", gap(3, 7, 20))
    assert str(one) == "replay r1 has not frames.raw/3 offset 7: removed by retention"
    assert str(run) == "replay r1 has not frames.raw/3 offsets 7 to 19: removed by retention"
    assert one.as_json() == {
        "replay_id": "r1", "topic": "frames.raw", "partition": 3, "from": 7, "to": 8, "reason": "removed by retention",
    }  # fmt: skip


def test_of_many_gaps_a_few_are_named() -> None:
    notes = gap_notes(missed([replay("r", 1, 2, running=MAX_GAPS_NAMED + 3)]))
    assert len(notes) == MAX_GAPS_NAMED + 1
    assert notes[-1] == "and 3 more gaps of replays"
