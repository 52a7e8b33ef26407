"""Frames of hard sources in line: each source in order, the sources in turn, few bytes in memory."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from infra.failures.outcomes import FrameRecord
from schemas import headers
from schemas.coordinates import Coordinates
from schemas.records import Encoding, Frame, SourceKind
from streams.stage.frames import ParsedFrame, PendingFrame
from streams.stage.hard_queue import KEPT_FRAMES, HardFrame, HardQueue
from streams.stage.write_order import Place

MAX_BYTES, MAX_DEFERRED = 1000, 5


def hard(source: str, offset: int, size: int = 100, attempt: int = 0) -> HardFrame:
    record = FrameRecord(Coordinates("frames.raw", 0, offset), 0, b"", bytes(size), [("a", b"b")], attempt)
    frame = Frame(f"{source}/1/{offset}", source, SourceKind.CAMERA, 1, offset, 7, 8, Encoding.JPEG, bytes(size))
    return HardFrame.of(ParsedFrame(PendingFrame(record, lambda: None), frame, bytes(16), Place(source)))


def offset_of(frame: HardFrame) -> int:
    return frame.pending.record.source.offset


steps = st.lists(st.one_of(st.tuples(st.sampled_from("abc"), st.integers(1, 600)), st.just("next"), st.just("done")))


@given(steps, st.integers(1, 3))
def test_order_bounds_and_limits_hold(given_steps: list[tuple[str, int] | str], max_at_work: int) -> None:
    queue, waiting, at_work = HardQueue(MAX_BYTES, MAX_DEFERRED), list[HardFrame](), list[HardFrame]()
    for number, step in enumerate(given_steps):
        if isinstance(step, tuple):
            frame = hard(step[0], number, step[1])
            queue.add(frame)
            waiting.append(frame)
        elif step == "next":
            found = queue.next(max_at_work)
            open_to = {one.source for one in waiting if sum(x.source == one.source for x in at_work) < max_at_work}
            if found is None:
                assert not open_to
                continue
            assert found is next(one for one in waiting if one.source == found.source), "the oldest of its source"
            waiting.remove(found)
            at_work.append(found)
        elif at_work:
            queue.done(at_work.pop(0))
        kept = [one for one in waiting if one.parsed is not None]
        assert queue.kept_bytes == sum(one.pending.size for one in kept) <= MAX_BYTES
        assert all(sum(one.source == source for one in kept) <= KEPT_FRAMES for source in "abc")
        assert all(one.pending.record.value is None for one in waiting if one.parsed is None)
        assert len(queue) == len(waiting) + len(at_work)
        assert all((source in queue) == any(x.source == source for x in waiting + at_work) for source in "abc")


def test_sources_come_in_turn() -> None:
    queue = HardQueue(MAX_BYTES, MAX_DEFERRED)
    for number in range(3):
        for source in "abc":
            queue.add(hard(source, number))
    found = [queue.next(9) for _ in range(9)]
    assert [one.source for one in found if one] == list("abcabcabc")
    assert queue.next(9) is None


def test_what_waits_without_its_bytes_keeps_what_a_dead_letter_needs_and_nothing_large() -> None:
    frame = hard("a", 0)
    replayed = (headers.REPLAY_ID, b"r1")
    given_headers = [("a", b"b"), (headers.TRACEPARENT, bytes(2_000)), *[replayed] * 3]
    frame.pending.record = replace(frame.pending.record, key=bytes(2_000), headers=given_headers)
    frame.drop_bytes()
    record = frame.pending.record
    assert (record.key, record.value, record.headers) == (None, None, [replayed])
    assert frame.pending.size == 100, "what it took before, for the gate"


def test_a_retried_frame_keeps_its_bytes_because_its_origin_may_be_gone() -> None:
    queue = HardQueue(MAX_BYTES, MAX_DEFERRED)
    frames = [hard("a", number, size=400, attempt=number % 2) for number in range(8)]
    for frame in frames:
        queue.add(frame)
    assert [one.pending.record.attempt for one in frames if one.parsed is None] == [0, 0, 0]
    while queue.next(99) is not None:
        pass
    assert queue.kept_bytes == 0


def deferred(source: str, offset: int) -> HardFrame:
    origin = Coordinates("frames.raw", 0, offset)
    return HardFrame.deferred(PendingFrame(FrameRecord(origin, 0, source.encode(), None, []), lambda: None))


def test_deferred_frames_come_behind_those_of_their_source_and_in_turn_with_other_sources() -> None:
    queue = HardQueue(MAX_BYTES, MAX_DEFERRED)
    for number in range(2):
        queue.add_deferred(deferred("a", number))
        queue.add_deferred(deferred("b", number))
    line = deferred("a", 0).source
    assert line not in queue, "a picture that comes now need not wait behind them"
    assert len(queue) == 4
    late = hard("a", 9)
    late.source = line
    queue.add(late)
    found = [queue.next(1), queue.next(1), queue.next(1)]
    assert [(one.source, offset_of(one)) for one in found if one] == [(line, 9), (deferred("b", 0).source, 0)]
    queue.done(late)
    assert queue.next(1) is not None
    assert line in queue


@given(st.lists(st.sampled_from("aab"), max_size=30))
def test_the_source_with_the_most_deferred_frames_gives_way_with_its_oldest(sources: list[str]) -> None:
    queue, waiting = HardQueue(MAX_BYTES, MAX_DEFERRED), list[HardFrame]()
    for number, source in enumerate(sources):
        frame = deferred(source, number)
        waiting.append(frame)
        gave_way = queue.add_deferred(frame)
        assert (gave_way is None) == (len(waiting) <= MAX_DEFERRED)
        if gave_way is not None:
            counts = {one.source: sum(x.source == one.source for x in waiting) for one in waiting}
            assert counts[gave_way.source] == max(counts.values())
            assert gave_way is next(one for one in waiting if one.source == gave_way.source)
            waiting.remove(gave_way)
        assert len(queue) == len(waiting)


def test_older_frames_of_a_partition_can_be_taken_out_and_deferred_ones_by_their_origin() -> None:
    queue = HardQueue(MAX_BYTES, MAX_DEFERRED)
    frames = [hard("a", number) for number in range(4)] + [hard("b", 2), hard("c", 1, attempt=1)]
    for frame in frames:
        queue.add(frame)
    for offset in (7, 8):
        queue.add_deferred(deferred("d", offset))
    assert queue.take_before(Coordinates("frames.raw", 1, 9)) == []
    assert queue.take_before(Coordinates("frames.raw", 0, 2)) == frames[:2]
    assert queue.take_before(Coordinates("frames.raw", 0, 3)) == [frames[2], frames[4]]
    assert queue.take_deferred(Coordinates("frames.raw", 0, 8)) is None
    assert queue.take_deferred(Coordinates("frames.raw", 0, 7)) is not None
    assert queue.take_deferred(Coordinates("frames.raw", 0, 8)) is not None
    assert (len(queue), queue.kept_bytes) == (2, 200)
