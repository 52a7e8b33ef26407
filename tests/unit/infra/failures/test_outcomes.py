"""Where a failed frame is sent, and how much of it when it is too large for a record."""

from typing import Any

import pytest

from infra.failures.outcomes import RECORD_OVERHEAD_BYTES, FrameRecord, dead_letter, retry_or_dead
from infra.kafka.clients import max_record_bytes, producer_config
from infra.kafka.topics import TopicNames, specs
from infra.settings import MIB, RetrySettings, Settings
from schemas.coordinates import Coordinates
from schemas.errors import BadFrame
from schemas.headers import REPLAY_ID, TRACEPARENT, Failure, Header, read_failure, to_map

NAMES = TopicNames.for_lane("")
SOURCE = Coordinates("frames.raw", 3, 17)
LIMIT = 10_000
ROOM = LIMIT - RECORD_OVERHEAD_BYTES - len(b"cam")


def frame(value: bytes, key: bytes | str | None = b"cam", *headers: Header, attempt: int = 0) -> FrameRecord:
    return FrameRecord(SOURCE, 99, key, value, headers, attempt)


def told(headers: list[Header]) -> Failure:
    failure = read_failure(headers)
    assert failure is not None
    return failure


def sent(record: FrameRecord, error: Exception) -> tuple[str, Any, Any, list[Header]]:
    one = retry_or_dead(NAMES, RetrySettings(), record, "stream", error, max_record_bytes=LIMIT)
    return one.topic.removeprefix("frames."), one.key, one.value, one.headers


@pytest.mark.parametrize(("size", "left_out"), [(ROOM, False), (ROOM + 1, True)])
def test_a_dead_letter_that_no_record_can_hold_leaves_its_value_out(size: int, left_out: bool) -> None:
    outcome, key, value, headers = sent(frame(bytes(size), b"cam"), BadFrame("truncated", "half a JPEG"))
    failure = told(headers)
    assert (outcome, key, value) == ("dead", b"cam", None if left_out else bytes(size))
    assert (failure.source, failure.timestamp_ms) == (SOURCE, 99)
    assert failure.error_class == "truncated", "the reason stays the true one"
    note = f"value of {size} bytes left out, a record holds {LIMIT}: " if left_out else ""
    assert failure.message == f"{note}half a JPEG"


@pytest.mark.parametrize(("size", "expected"), [(ROOM, "retry"), (ROOM + 1, "dead")])
def test_what_cannot_be_sent_again_is_dead_at_once(size: int, expected: str) -> None:
    outcome, _, value, headers = sent(frame(bytes(size), attempt=1), MemoryError("no room " * 1_000))
    failure = told(headers)
    assert (outcome, failure.attempt) == ((expected, 2) if expected == "retry" else (expected, 1))
    assert (value is None) == (expected == "dead")
    assert failure.error_class == "MemoryError"
    assert ("left out" in failure.message) == (expected == "dead"), "a long message does not push it off its end"


def test_a_key_or_header_that_is_too_large_is_left_out_as_well() -> None:
    trace = (TRACEPARENT, b"00-a-b-01")
    _, key, value, headers = sent(frame(b"v", "k" * LIMIT, (REPLAY_ID, b"x" * LIMIT), trace), BadFrame("bad_fields"))
    assert (key, value, told(headers).source) == (None, None, SOURCE)
    assert REPLAY_ID not in to_map(headers)
    assert trace in headers
    assert sum(len(name) + len(text) for name, text in headers) < RECORD_OVERHEAD_BYTES


def test_headers_that_stay_behind_do_not_count() -> None:
    assert sent(frame(b"v", b"cam", ("somebody-elses", b"x" * LIMIT)), BadFrame("empty"))[2] == b"v"


def test_the_longest_headers_of_ours_fit_beside_the_value() -> None:
    """The size as librdkafka counts it: it adds up to 36 bytes a record and 10 bytes a header."""
    source = Coordinates("t" * 249, 2**31 - 1, 2**63 - 1)
    record = FrameRecord(source, 2**63 - 1, b"cam", bytes(ROOM), ())
    error = BadFrame("a_rather_long_reason", "é" * 5_000)
    one = dead_letter(NAMES, record, "stream", error, max_record_bytes=LIMIT)
    assert one.value == bytes(ROOM)
    assert 36 + len(b"cam") + ROOM + sum(10 + len(name) + len(text) for name, text in one.headers) < LIMIT


def test_the_limit_is_what_our_topics_and_our_producer_take() -> None:
    settings = Settings()
    config = {spec.name: spec.config["max.message.bytes"] for spec in specs(settings) if "frames." in spec.name}
    assert config["frames.dead"] == config["frames.retry"] == str(max_record_bytes(settings))
    assert max_record_bytes(settings) >= settings.topics.max_frame_bytes + RECORD_OVERHEAD_BYTES
    overruled = Settings.model_validate({"kafka": {"producer": {"message.max.bytes": str(20 * MIB)}}})
    assert max_record_bytes(overruled) == 20 * MIB == int(producer_config(overruled)["message.max.bytes"])
