"""Failure headers are replaced, bounded, and understood in every family."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import cache_headers, headers
from schemas.coordinates import Coordinates

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FAILURE = headers.Failure(Coordinates("frames.raw", 3, 42), 1_700_000_000_000, "stream", "BadFrame", "truncated", 2)


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


def test_the_frame_that_is_repeated_is_told_at_each_attempt_and_no_other_place_is_taken_for_it() -> None:
    place = Coordinates("frames.raw", 3, 17)
    once = headers.failure_headers(headers.replay_of_headers(place), FAILURE)
    assert headers.replay_of(headers.failure_headers(once, FAILURE)) == place
    for value in (
        b"",
        b"x/1",
        b"a b/1/2",
        b"../1/2",
        b"raw/-1/2",
        b"raw/1/2/3",
        b"raw/2147483648/0",
        b"\xff/1/2",
        b"raw/1/1e3",
    ):
        assert headers.replay_of([(headers.REPLAY_OF, value)]) is None


@given(st.text(max_size=5000))
def test_a_long_message_is_cut_at_a_character(message: str) -> None:
    failure = headers.Failure(FAILURE.source, 0, "s", "c", message, 1)
    written = dict(headers.failure_headers(None, failure))[headers.ERROR_MESSAGE]
    assert len(written) <= headers.MAX_MESSAGE_BYTES
    assert message.startswith(written.decode())


def connect(offset: int, error_class: str) -> list[headers.Header]:
    return [
        ("__connect.errors.topic", b"frames.raw"),
        ("__connect.errors.partition", b"3"),
        ("__connect.errors.offset", b"%d" % offset),
        ("__connect.errors.stage", b"VALUE_CONVERTER"),
        ("__connect.errors.class.name", b"org.apache.kafka.connect.json.JsonConverter"),
        ("__connect.errors.exception.class.name", error_class.encode()),
        ("__connect.errors.exception.message", b"no"),
    ]


def spring(prefix: str, offset: int, error_class: str) -> list[headers.Header]:
    return [
        (f"{prefix}exception-fqcn", b"org.springframework.kafka.listener.ListenerExecutionFailedException"),
        (f"{prefix}exception-cause-fqcn", error_class.encode()),
        (f"{prefix}exception-message", b"no"),
        (f"{prefix}original-topic", b"frames.raw"),
        (f"{prefix}original-partition", struct.pack(">i", 3)),
        (f"{prefix}original-offset", struct.pack(">q", offset)),
        (f"{prefix}original-timestamp", struct.pack(">q", 1_700_000_000_000 + offset)),
        (f"{prefix}original-timestamp-type", b"CreateTime"),
    ]


def streams(offset: int, exception: str) -> list[headers.Header]:
    return [
        ("__streams.errors.exception", exception.encode()),
        ("__streams.errors.message", b"no"),
        ("__streams.errors.topic", b"frames.raw"),
        ("__streams.errors.partition", b"3"),
        ("__streams.errors.offset", b"%d" % offset),
    ]


def smallrye(offset: int, error_class: str) -> list[headers.Header]:
    return [
        ("dead-letter-exception-class-name", error_class.encode()),
        ("dead-letter-reason", b"no"),
        ("dead-letter-cause-class-name", b"java.io.EOFException"),
        ("dead-letter-cause", b"end"),
        ("dead-letter-topic", b"frames.raw"),
        ("dead-letter-partition", b"3"),
        ("dead-letter-offset", b"%d" % offset),
    ]


SHARE_GROUP = [
    ("__dlq.errors.topic", b"frames.raw"),
    ("__dlq.errors.partition", b"3"),
    ("__dlq.errors.offset", b"42"),
    ("__dlq.errors.group", b"g"),
    ("__dlq.errors.delivery.count", b"5"),
    ("__dlq.errors.message", b"no"),
]
BROKEN = "java.io.IOException"
# @RetryableTopic keeps the first origin and the last failure, yet adds its count at each retry; the plain recoverer
# adds what it reads from at each hop.
RETRYABLE_HOPS = [
    *spring("kafka_", 42, BROKEN),
    ("retry_topic-attempts", struct.pack(">i", 2)),
    ("retry_topic-attempts", struct.pack(">i", 4)),
]
DLT_HOPS = [*spring("kafka_dlt-", 42, "E"), *spring("kafka_dlt-", 99, BROKEN)]


@pytest.mark.parametrize(
    ("found", "stage", "error_class", "timestamp_ms", "attempt"),
    [
        (connect(42, BROKEN), "VALUE_CONVERTER", BROKEN, 0, 0),
        (connect(42, "E") + connect(99, BROKEN), "VALUE_CONVERTER", BROKEN, 0, 0),
        (spring("kafka_", 42, BROKEN), "spring", BROKEN, 1_700_000_000_042, 0),
        (RETRYABLE_HOPS, "spring", BROKEN, 1_700_000_000_042, 4),
        (spring("kafka_dlt-", 42, BROKEN), "spring", BROKEN, 1_700_000_000_042, 0),
        (DLT_HOPS, "spring", BROKEN, 1_700_000_000_042, 0),
        (streams(42, BROKEN), "streams", BROKEN, 0, 0),
        (streams(42, f"{BROKEN}: no: not at all"), "streams", BROKEN, 0, 0),
        (streams(42, "E") + streams(99, BROKEN), "streams", BROKEN, 0, 0),
        (SHARE_GROUP, "share-group", "", 0, 5),
        (smallrye(42, BROKEN), "smallrye", BROKEN, 0, 0),
        (smallrye(99, BROKEN) + smallrye(42, "E"), "smallrye", BROKEN, 0, 0),
    ],
)
def test_foreign_families_tell_the_first_origin_and_the_last_failure(
    found: list[headers.Header], stage: str, error_class: str, timestamp_ms: int, attempt: int
) -> None:
    expected = headers.Failure(Coordinates("frames.raw", 3, 42), timestamp_ms, stage, error_class, "no", attempt)
    assert headers.read_failure(found) == expected
    assert headers.read_failure([("traceparent", TRACE.encode()), *found, ("other", None)]) == expected


@pytest.mark.parametrize("prefix", ["kafka_", "kafka_dlt-"])
def test_springs_wrapper_is_named_only_where_no_cause_is(prefix: str) -> None:
    found = dict(spring(prefix, 42, BROKEN))
    del found[f"{prefix}exception-cause-fqcn"]
    failure = headers.read_failure(found.items())
    assert failure is not None
    assert failure.error_class == "org.springframework.kafka.listener.ListenerExecutionFailedException"


@pytest.mark.parametrize("prefix", ["kafka_", "kafka_dlt-"])
def test_a_key_that_spring_cannot_read_has_headers_of_its_own(prefix: str) -> None:
    origin = [(name, value) for name, value in spring(prefix, 42, BROKEN) if "exception" not in name]
    key = [(f"{prefix}key-exception-fqcn", b"DeserializationException"), (f"{prefix}key-exception-message", b"bad key")]
    failure = headers.read_failure(key + origin)
    assert failure is not None
    assert (failure.error_class, failure.message) == ("DeserializationException", "bad key")


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [(b"\x04", 4), (b"\x34", 52), (b"\xc8", 200), (b"\0\0\0\x04", 4), (b"\xff" * 4, 0), (b"\0\x04", 0), (b"", 0)],
)
def test_spring_counts_attempts_in_four_bytes_and_once_did_in_one(attempts: bytes, expected: int) -> None:
    failure = headers.read_failure([*spring("kafka_", 42, BROKEN), ("retry_topic-attempts", attempts)])
    assert failure is not None
    assert failure.attempt == expected


def test_no_failure_no_headers() -> None:
    assert headers.read_failure(None) is None
    assert headers.read_failure([("traceparent", b"x"), ("a", None)]) is None
    assert headers.attempt_of([]) == 0


@pytest.mark.parametrize("found", [b"", b"x" * 55, b"00-a-b-01", b"\xff" * 55, TRACE.encode() * 90_000])
def test_what_is_no_trace_context_is_not_read(found: bytes) -> None:
    assert headers.traceparent_of([(headers.TRACEPARENT, found)]) is None
    both = [(headers.ITEM_TRACEPARENTS, TRACE.encode() + b"," + found)]
    assert headers.traceparents_of(both, 2) == [TRACE, None]


def test_an_unsampled_traceparent_has_the_form_of_the_standard() -> None:
    made = headers.unsampled_traceparent()
    assert headers.traceparent_of([(headers.TRACEPARENT, made.encode())]) == made
    version, trace, span, flags = made.split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "00")


NAMES = st.sampled_from(
    [value for name, value in vars(headers).items() if name.isupper() and isinstance(value, str)]
    + [
        name
        for family in headers._FAMILIES
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


@pytest.mark.parametrize("value", [b"", b"0" * 31, b"0" * 33, b"G" * 32, b"0" * 31 + b"\n", b"\xff" * 32])
def test_a_preparation_of_another_form_is_none(value: bytes) -> None:
    assert cache_headers.preparation_of([(cache_headers.PREPARATION, value)]) is None
    assert cache_headers.preparation_of(None) is None
    assert cache_headers.preparation_of(cache_headers.preparation_headers("0f" * 16)) == "0f" * 16
    assert cache_headers.preparation_headers(None) == []


@pytest.mark.parametrize(("value", "may"), [(b"none", False), (b"", True), (b"NONE", True), (b"exact", True)])
def test_only_none_keeps_a_label_out_of_the_cache(value: bytes, may: bool) -> None:
    assert cache_headers.may_be_cached([(headers.CACHE, value)]) is may


def test_a_frame_that_is_not_cached_stays_so_at_each_attempt() -> None:
    assert cache_headers.may_be_cached(None)
    assert not cache_headers.may_be_cached(headers.failure_headers([cache_headers.NO_CACHE], FAILURE))
