"""Which dead letters are sent again, how fast, and what their copies carry."""

import pytest

from infra.failures.dead_letters import DeadFilter, DeadLetter, Mark, parse, parse_place
from infra.kafka.records import ConsumedRecord
from infra.kafka.spans import Span
from ingest.redrive.plan import CLOCKS_DIFFER_MS, Planner, mark_headers, parse_rate, retry_headers
from ingest.redrive.send import runs
from schemas import codec
from schemas.coordinates import Coordinates
from schemas.errors import ConfigError
from schemas.headers import Failure, attempt_of, failure_headers, read_failure, redriven_letter, to_map
from tests.support.sink_records import a_frame

FRAME = codec.encode(a_frame(1))


def a_letter(
    offset: int,
    origin: int | None = 0,
    value: bytes | None = FRAME,
    attempt: int = 3,
    at_ms: int = 9,
    partition: int = 0,
) -> DeadLetter:
    failure = None
    headers = [("traceparent", b"00-a-b-01")]
    if origin is not None:
        failure = Failure(Coordinates("frames.raw", 0, origin), 5, "infer", "ModelError", "out of memory", attempt)
        headers = failure_headers(headers, failure)
    return DeadLetter((partition, offset), at_ms, b"dock-1", value, headers, failure)


def mark(letter: DeadLetter, offset: int = 100, at_ms: int = 9) -> Mark:
    origin = letter.failure.source if letter.failure else None
    return Mark(letter.place, origin, (letter.place[0], offset), at_ms)


def test_letters_with_a_frame_and_an_origin_are_chosen_in_order() -> None:
    planner = Planner(3, None)
    for offset in (4, 2, 9):
        planner.add(a_letter(offset, origin=offset))
    plan = planner.plan()
    assert plan.chosen == [(0, 2), (0, 4), (0, 9)]
    assert plan.reasons == {"infer/ModelError": 3}


def test_what_was_redriven_is_skipped_and_a_frame_goes_once() -> None:
    planner = Planner(3, None)
    first, again, twin = a_letter(1, origin=7), a_letter(3, origin=7), a_letter(4, origin=7)
    for entry in (first, mark(first, 2), again, twin):
        planner.add(entry)
    plan = planner.plan()
    assert (plan.chosen, plan.skipped) == ([(0, 3)], 1)
    assert plan.refused == {"the same frame as another dead letter": 1}


def test_a_twin_goes_with_the_letter_that_was_redriven() -> None:
    """Run again, redrive would send it, though its frame may be labelled by then."""
    planner = Planner(3, None)
    first, twin, other = a_letter(1, origin=7), a_letter(2, origin=7), a_letter(3, origin=8)
    for entry in (first, twin, other, mark(first, 4, at_ms=9 + CLOCKS_DIFFER_MS)):
        planner.add(entry)
    plan = planner.plan()
    assert (plan.chosen, plan.skipped, plan.refused) == ([(0, 3)], 2, {})


@pytest.mark.parametrize(
    "died_again",
    [
        a_letter(5, origin=7, at_ms=30),
        a_letter(5, origin=7, at_ms=5),
        a_letter(3, origin=7, at_ms=30),
        a_letter(3, origin=7, at_ms=15),
        a_letter(3, origin=7, partition=1),
    ],
    ids=[
        "later",
        "by a clock that is behind",
        "between copy and mark",
        "there too, by a clock that is behind",
        "of another partition",
    ],
)
def test_what_died_again_since_passes(died_again: DeadLetter) -> None:
    planner = Planner(3, None)
    first = a_letter(1, origin=7)
    for entry in (first, mark(first, 4, at_ms=20), died_again):
        planner.add(entry)
    plan = planner.plan()
    assert (plan.chosen, plan.skipped, plan.refused) == ([died_again.place], 1, {})


def test_a_frame_that_died_too_often_is_refused_with_the_count() -> None:
    planner = Planner(2, None)
    letters = [a_letter(offset, origin=7) for offset in (0, 2, 4)]
    for entry in (letters[0], mark(letters[0], 1), letters[1], mark(letters[1], 3), letters[2]):
        planner.add(entry)
    plan = planner.plan()
    assert (plan.chosen, plan.skipped, plan.refused) == ([], 2, {"redriven 2 times already": 1})


@pytest.mark.parametrize(
    ("letter", "reason"),
    [
        (a_letter(0, value=b"\xff\xd8\xff a photo, no Frame"), "no Frame (not_avro)"),
        (a_letter(0, value=None), "the dead letter was written without its frame (`sightline dead show` says why)"),
        (a_letter(0, value=b""), "no Frame (empty)"),
        (a_letter(0, origin=None), "no header says where the frame comes from"),
    ],
)
def test_what_cannot_be_sent_again_is_refused_with_its_reason(letter: DeadLetter, reason: str) -> None:
    planner = Planner(3, None)
    planner.add(letter)
    assert planner.plan().refused == {reason: 1}
    planner.add(Mark(letter.place, None, (0, 1), 9))
    assert planner.plan().refused == {}


def test_the_copy_keeps_origin_and_trace_and_begins_its_attempts_anew() -> None:
    letter = a_letter(8, origin=7, attempt=3)
    assert letter.failure is not None
    headers = retry_headers(letter, letter.failure)
    failure = read_failure(headers)
    assert failure is not None
    assert (failure.source, failure.timestamp_ms, attempt_of(headers)) == (Coordinates("frames.raw", 0, 7), 5, 1)
    assert to_map(headers)["traceparent"] == b"00-a-b-01"
    assert redriven_letter(headers) is None


def test_a_mark_is_read_back_as_a_mark_and_never_as_a_letter() -> None:
    letter = a_letter(8, origin=7)
    assert letter.failure is not None
    record = ConsumedRecord("frames.dead", 0, 30, 9, b"dock-1", None, mark_headers(letter, letter.failure))
    assert parse(record) == Mark((0, 8), Coordinates("frames.raw", 0, 7), (0, 30), 9)
    plain = ConsumedRecord("frames.dead", 0, 8, 9, b"dock-1", None, letter.headers)
    assert isinstance(parse(plain), DeadLetter)


def test_a_filter_takes_globs_and_places() -> None:
    letter = a_letter(8)
    assert DeadFilter("inf*", "Model*", "dock-?", frozenset([(0, 8)])).passes(letter)
    for other in (
        DeadFilter(stage="decode"),
        DeadFilter(error="x"),
        DeadFilter(source_id="yard"),
        DeadFilter(places=frozenset([(1, 8)])),
    ):
        assert not other.passes(letter)


@pytest.mark.parametrize("text", ["3/17", "3-17", "pre.frames.dead/3/17", "pre.frames.dead-3-17"])
def test_a_place_is_written_in_several_ways(text: str) -> None:
    assert parse_place(text, "pre.frames.dead") == (3, 17)


@pytest.mark.parametrize("text", ["", "17", "a/b", "3/", "/3", "3/-1", "other-3-17", "²/1", "1/" + "9" * 5000])
def test_anything_else_is_no_place(text: str) -> None:
    with pytest.raises(ConfigError, match="PARTITION/OFFSET"):
        parse_place(text, "frames.dead")


@pytest.mark.parametrize(("text", "rate"), [("20", 20), ("20/s", 20), ("90/m", 1.5), ("0.5", 0.5)])
def test_a_rate_has_a_unit(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "0", "-1/s", "x/s", "5/y", "inf", "nan"])
def test_anything_else_is_no_rate(text: str) -> None:
    with pytest.raises(ConfigError, match="dead letters a second"):
        parse_rate(text)


def test_neighbours_are_read_in_one_go() -> None:
    assert runs("t", [(1, 5), (0, 3), (0, 4), (0, 6)]) == [Span("t", 0, 3, 5), Span("t", 0, 6, 7), Span("t", 1, 5, 6)]
