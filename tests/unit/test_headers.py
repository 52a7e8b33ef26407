"""Failure headers are replaced, bounded, and understood in every family."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import headers
from schemas.records import SourceRef

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FAILURE = headers.Failure(SourceRef("frames.raw", 3, 42), 1_700_000_000_000, "stream", "BadFrame", "truncated", 2)


def test_what_is_written_is_read_back() -> None:
    assert headers.read_failure(headers.failure_headers(None, FAILURE)) == FAILURE


def test_a_second_attempt_replaces_the_first_and_keeps_trace_and_replay() -> None:
    first = [("traceparent", TRACE.encode()), ("sightline-replay-id", b"r1"), ("other", b"x")]
    once = headers.failure_headers(first, FAILURE)
    twice = headers.failure_headers(once, FAILURE)
    assert sorted(once) == sorted(twice)
    assert len({name for name, _ in twice}) == len(twice)
    assert headers.traceparent_of(twice) == TRACE
    assert headers.replay_id_of(twice) == "r1"
    assert headers.attempt_of(twice) == 2


@given(st.text(max_size=5000))
def test_a_long_message_is_cut_at_a_character(message: str) -> None:
    failure = headers.Failure(FAILURE.source, 0, "s", "c", message, 1)
    written = dict(headers.failure_headers(None, failure))[headers.ERROR_MESSAGE]
    assert len(written) <= headers.MAX_MESSAGE_BYTES
    assert message.startswith(written.decode())


def test_foreign_families() -> None:
    connect = [
        ("__connect.errors.topic", b"frames.raw"),
        ("__connect.errors.partition", b"3"),
        ("__connect.errors.offset", b"42"),
        ("__connect.errors.exception.class.name", b"DataException"),
        ("__connect.errors.stage", b"VALUE_CONVERTER"),
    ]
    spring = [
        ("kafka_dlt-original-topic", b"frames.raw"),
        ("kafka_dlt-original-partition", struct.pack(">i", 3)),
        ("kafka_dlt-original-offset", struct.pack(">q", 42)),
        ("kafka_dlt-original-timestamp", struct.pack(">q", 1_700_000_000_000)),
        ("kafka_dlt-exception-fqcn", b"java.io.IOException"),
        ("retry_topic-attempts", struct.pack(">i", 4)),
    ]
    streams = [
        ("__streams.errors.topic", b"frames.raw"),
        ("__streams.errors.partition", b"3"),
        ("__streams.errors.offset", b"42"),
        ("__streams.errors.exception", b"E"),
    ]
    for family, stage, error_class in (
        (connect, "VALUE_CONVERTER", "DataException"),
        (spring, "spring", "java.io.IOException"),
        (streams, "streams", "E"),
    ):
        failure = headers.read_failure(family)
        assert failure is not None
        assert failure.source == SourceRef("frames.raw", 3, 42)
        assert (failure.stage, failure.error_class) == (stage, error_class)
    spring_failure = headers.read_failure(spring)
    assert spring_failure is not None
    assert (spring_failure.attempt, spring_failure.timestamp_ms) == (4, 1_700_000_000_000)


def test_no_failure_no_headers() -> None:
    assert headers.read_failure(None) is None
    assert headers.read_failure([("traceparent", b"x"), ("a", None)]) is None
    assert headers.attempt_of([]) == 0


@pytest.mark.parametrize("found", [b"", b"x" * 55, b"00-a-b-01", b"\xff" * 55, TRACE.encode() * 90_000])
def test_what_is_no_trace_context_is_not_read(found: bytes) -> None:
    assert headers.traceparent_of([(headers.TRACEPARENT, found)]) is None
    both = [(headers.ITEM_TRACEPARENTS, TRACE.encode() + b"," + found)]
    assert headers.traceparents_of(both, 2) == [TRACE, None]


def test_a_new_traceparent_has_the_form_of_the_standard() -> None:
    made = headers.new_traceparent()
    assert headers.traceparent_of([(headers.TRACEPARENT, made.encode())]) == made
    version, trace, span, flags = made.split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")


NAMES = st.sampled_from(
    [value for name, value in vars(headers).items() if name.isupper() and isinstance(value, str)]
    + [
        name
        for family in (headers._CONNECT, headers._SPRING, headers._STREAMS, headers._SHARE_GROUP)
        for name in (family.topic, family.partition, family.offset, family.timestamp, family.attempt)
    ]
)
DIGITS = st.from_regex(rb"-{0,2}[0-9]{0,21}", fullmatch=True) | st.just(b"9" * 5000) | st.just(b"9" * 5000 + b"/1")
VALUES = st.none() | st.binary(max_size=10) | st.text(max_size=4) | DIGITS | st.just(b"frames.raw")


@given(st.lists(st.tuples(NAMES | st.text(max_size=5), VALUES), max_size=12))
def test_whatever_the_headers_hold_reading_them_never_raises(found: headers.RawHeaders) -> None:
    failure = headers.read_failure(found)
    assert headers.attempt_of(found) >= 0
    headers.redriven_letter(found)
    headers.replay_id_of(found)
    headers.traceparents_of(found, 2)
    if failure is not None:
        again = headers.read_failure(headers.failure_headers(found, failure))
        assert again is not None
        assert again.source == failure.source


@pytest.mark.parametrize("number", [b"--5", b"9" * 5000, b"", b"-", b"5 ", b"+5", b"99999999999999999999"])
def test_what_is_no_number_is_as_if_it_were_not_there(number: bytes) -> None:
    found = dict(headers.failure_headers(None, FAILURE))
    assert headers.attempt_of(list({**found, headers.ATTEMPT: number}.items())) == 0
    for name in (headers.ORIGIN_PARTITION, headers.ORIGIN_OFFSET):
        assert headers.read_failure({**found, name: number}.items()) is None
    assert headers.redriven_letter([(headers.REDRIVEN, b"3/" + number)]) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (headers.ORIGIN_PARTITION, b"-1"),
        (headers.ORIGIN_PARTITION, b"2147483648"),
        (headers.ORIGIN_OFFSET, b"-1001"),
        (headers.ORIGIN_OFFSET, b"9223372036854775808"),
        (headers.ORIGIN_TOPIC, b""),
        (headers.ORIGIN_TOPIC, b"x" * 250),
        (headers.ORIGIN_TOPIC, b"frames raw"),
    ],
)
def test_an_origin_that_cannot_lie_in_kafka_is_none(name: str, value: bytes) -> None:
    found = {**dict(headers.failure_headers(None, FAILURE)), name: value}
    assert headers.read_failure(found.items()) is None
