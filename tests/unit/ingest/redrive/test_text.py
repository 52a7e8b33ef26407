"""What `redrive` prints: what it would do, what it did, and why the rest was not done."""

from collections import Counter

from infra.audit.ledger import Ledger
from infra.kafka.spans import Span
from ingest.redrive.missing import MissingFrames
from ingest.redrive.plan import Plan
from ingest.redrive.send import RedriveResult
from ingest.redrive.text import describe, describe_missing, missing_report, report

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


MISSING = MissingFrames(
    Ledger([]),
    count=4,
    under_way=2,
    expired=1_005,
    expired_ranges=[Span("frames.raw", 3, 7, 8), Span("frames.raw", 3, 10, 14)],
    notes=["a note"],
    newer="",
)


def test_of_missing_frames_it_says_how_many_and_which_cannot_be_sent() -> None:
    left_alone = [
        "left alone 2: a stage still has them",
        "cannot send 1,005: retention removed them without an outcome",
        "  frames.raw/3 offset 7",
        "  frames.raw/3 offsets 10 to 13",
        "  and 1,000 more",
        "note: a note",
    ]
    assert describe_missing(MISSING, RedriveResult(), execute=False, rate_per_s=2.0).splitlines() == [
        "would send 4 frames without an outcome, in 2 s",
        *left_alone,
        "nothing was written: add --execute to do it",
    ]
    result = RedriveResult(redriven=2, failed=1, errors={"Broker: Message size too large"})
    assert describe_missing(MISSING, result, execute=True, rate_per_s=2.0).splitlines() == [
        "sent 2 of 4 frames without an outcome",
        "failed 1: Broker: Message size too large",
        "1 frames are gone: retention has removed them in the meantime",
        *left_alone,
    ]


def test_the_object_of_missing_frames_has_the_offsets_that_were_removed() -> None:
    found = missing_report(MISSING, RedriveResult(redriven=4), execute=True)
    assert (found["chosen"], found["redriven"], found["under_way"], found["expired"]) == (4, 4, 2, 1_005)
    assert found["expired_ranges"][1] == {"topic": "frames.raw", "partition": 3, "from": 10, "to": 13}
