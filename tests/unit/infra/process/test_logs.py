"""What of the lines of libraries reaches the log."""

import logging

import pytest

from infra.process.logs import LINES_KNOWN, SAME_S, FewOfEach


def record(name: str, template: str, *filled_in: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "", 0, template, filled_in, None)


def passed(few: FewOfEach, *lines: logging.LogRecord) -> int:
    return sum(few.filter(one) for one in lines)


def test_a_library_says_the_same_thing_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    few, now_s = FewOfEach(), 1_000.0
    monkeypatch.setattr("infra.process.logs.time.monotonic", lambda: now_s)
    gone = [record("aiokafka.cluster", "Topic %s not found in cluster metadata", "frames.raw")] * 8_757
    assert passed(few, *gone) == 1
    assert passed(few, record("aiokafka.cluster", "Unable to update metadata from %s", [1])) == 1
    now_s += SAME_S
    assert passed(few, *gone) == 1


def test_of_lines_that_differ_in_what_is_filled_in_a_few_pass() -> None:
    lines = [record("aiokafka", "OffsetCommit failed for partition %s", number) for number in range(50)]
    assert passed(FewOfEach(), *lines) == 3


def test_our_own_lines_all_pass() -> None:
    lines = [record(name, "the same") for name in ("infra.kafka.consumer", "streams", "sinks.base.loop")]
    assert passed(FewOfEach(), *lines * 10) == 30


def test_what_is_remembered_is_bounded() -> None:
    few = FewOfEach()
    for number in range(5_000):
        few.filter(record("library", f"line {number}"))
    assert len(few._left) == LINES_KNOWN
