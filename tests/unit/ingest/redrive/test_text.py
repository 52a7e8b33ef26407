"""What `redrive` prints: what it would do, what it did, and why the rest was not done."""

from collections import Counter

from ingest.redrive.plan import Plan
from ingest.redrive.send import RedriveResult
from ingest.redrive.text import describe, report

PLAN = Plan(
    chosen=[(0, offset) for offset in range(4)],
    reasons=Counter({"infer/ModelError": 3, "decode/truncated": 1}),
    refused=Counter({"no Frame (not_avro)": 2}),
    skipped=1,
)


def test_without_execute_it_says_what_it_would_do_and_that_nothing_was_written() -> None:
    assert describe(PLAN, RedriveResult(), execute=False, rate_per_s=2.0).splitlines() == [
        "would redrive 4 dead letters (3 infer/ModelError, 1 decode/truncated), in 2 s",
        "skipped 1: redriven before",
        "refused 2: no Frame (not_avro)",
        "nothing was written: add --execute to do it",
    ]


def test_with_nothing_to_do_there_is_nothing_to_add() -> None:
    assert describe(Plan(), RedriveResult(), execute=False, rate_per_s=2.0) == "would redrive 0 dead letters"


def test_what_failed_and_what_was_left_at_a_stop_is_named() -> None:
    result = RedriveResult(redriven=2, failed=1, stopped=True, errors={"Broker: Message size too large"})
    assert describe(PLAN, result, execute=True, rate_per_s=50.0).splitlines()[:3] == [
        "redrove 2 of 4 dead letters (3 infer/ModelError, 1 decode/truncated)",
        "failed 1: Broker: Message size too large",
        "stopped before the end: 1 dead letters are as they were",
    ]


def test_dead_letters_that_retention_removed_are_named() -> None:
    lines = describe(PLAN, RedriveResult(redriven=3), execute=True, rate_per_s=50.0).splitlines()
    assert lines[1] == "1 dead letters are gone: retention has removed them in the meantime"


def test_the_json_object() -> None:
    result = RedriveResult(redriven=2, failed=2, errors={"b", "a"})
    assert report(PLAN, result, execute=True) == {
        "executed": True,
        "chosen": 4,
        "redriven": 2,
        "failed": 2,
        "errors": ["a", "b"],
        "skipped": 1,
        "refused": {"no Frame (not_avro)": 2},
    }
