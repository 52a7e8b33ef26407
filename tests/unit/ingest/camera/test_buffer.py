"""Who loses when there is no room: live sources their oldest frame, finite ones nothing."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from ingest.camera.buffer import FINITE_HELD, FrameBuffer


def filled(max_bytes: int = 100, max_frames: int = 10, **sources: bool) -> FrameBuffer[str]:
    buffer: FrameBuffer[str] = FrameBuffer(max_bytes, max_frames)
    for source_id, live in sources.items():
        buffer.add_source(source_id, live)
    return buffer


def drained(buffer: FrameBuffer[str]) -> list[str]:
    found = []
    while (item := buffer.take(0.0)) is not None:
        found.append(item)
    return found


def test_the_newest_frames_stay() -> None:
    buffer = filled(max_frames=3, cam=True)
    lost = [buffer.put("cam", f"f{number}", 1) for number in range(5)]
    assert lost == [[], [], [], ["f0"], ["f1"]]
    assert drained(buffer) == ["f2", "f3", "f4"]


def test_a_busy_camera_cannot_push_out_a_quiet_one() -> None:
    buffer = filled(max_bytes=100, busy=True, quiet=True)
    buffer.put("quiet", "q", 20)
    for number in range(6):
        buffer.put("busy", f"b{number}", 30)
    assert sorted(drained(buffer)) == ["b4", "b5", "q"]
    assert buffer.held_bytes() == 0


def test_one_frame_larger_than_all_room_still_goes_through() -> None:
    buffer = filled(max_bytes=10, cam=True)
    assert buffer.put("cam", "big", 1000) == []
    assert drained(buffer) == ["big"]


def test_sources_take_turns() -> None:
    buffer = filled(a=True, b=True)
    for number in range(3):
        buffer.put("a", f"a{number}", 1)
        buffer.put("b", f"b{number}", 1)
    taken = drained(buffer)
    assert [name[0] for name in taken] in (list("ababab"), list("bababa"))


def test_a_finite_source_waits_for_its_turn() -> None:
    buffer = filled(file=False)
    for number in range(FINITE_HELD):
        buffer.put("file", str(number), 1)
    done = threading.Event()

    def put_one_more() -> None:
        buffer.put("file", "last", 1)
        done.set()

    threading.Thread(target=put_one_more, daemon=True).start()
    assert not done.wait(0.1)
    assert buffer.take(1.0) == "0"
    assert done.wait(2.0)
    assert drained(buffer) == ["1", "last"]


def test_closing_ends_the_waiting_and_loses_nothing() -> None:
    buffer = filled(file=False)
    for number in range(FINITE_HELD):
        buffer.put("file", str(number), 1)
    waiting = threading.Thread(target=buffer.put, args=("file", "last", 1))
    waiting.start()
    buffer.close()
    waiting.join(2.0)
    assert not waiting.is_alive()
    assert drained(buffer) == ["0", "1", "last"]


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(min_value=0, max_value=60)), max_size=200))
def test_bounds_hold_and_every_frame_is_either_held_or_lost(puts: list[tuple[str, int]]) -> None:
    buffer = filled(max_bytes=100, max_frames=4, a=True, b=True, c=True)
    lost = []
    for number, (source_id, size) in enumerate(puts):
        lost += buffer.put(source_id, f"{source_id}{number}", size)
        assert max(buffer.held_frames().values()) <= 4
        assert buffer.held_bytes() <= 100
    kept = drained(buffer)
    assert sorted(kept + lost) == sorted(f"{source_id}{number}" for number, (source_id, _) in enumerate(puts))
