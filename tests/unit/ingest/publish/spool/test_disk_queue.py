"""The queue on disk against a model: appended, delivered, killed, cut and damaged at random."""

import errno
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from infra.process import metrics
from infra.settings import MIB
from ingest.publish.frame import ReadyFrame
from ingest.publish.spool import progress as progress_file
from ingest.publish.spool.disk_queue import DiskQueue, Limits
from ingest.publish.spool.progress import Progress, read_progress, write_progress
from ingest.publish.spool.segment import Segment
from tests.support.spool_model import SpoolModel, frame_of

SOURCES = st.sampled_from(["cam", "a/b"])
WHERE = st.floats(0, 1, exclude_max=True)
APPEND = st.tuples(st.just("append"), SOURCES, st.integers(0, 3000))
WORK = st.one_of(APPEND, st.tuples(st.sampled_from(["send", "send", "deliver", "fail"]), SOURCES), st.just(("sync",)))
HARM = st.one_of(
    st.tuples(st.sampled_from(["kill", "close", "progress"])),
    st.tuples(st.just("cut"), st.integers(1, 4000)),
    st.tuples(st.just("flip"), WHERE, WHERE),
    st.tuples(st.just("remove"), WHERE, WHERE, st.integers(1, 4000)),
)
# Each life of the queue begins with a harm.
LIVES = st.lists(st.tuples(HARM, st.lists(WORK, max_size=20)), min_size=1, max_size=5)


@given(LIVES, st.sampled_from([1 << 40, 200_000]))
def test_every_frame_that_no_damage_hit_is_delivered_in_order(lives: list[Any], max_bytes: int) -> None:
    """With the lower limit, which is not reached, each segment has a record or two."""
    with tempfile.TemporaryDirectory() as folder:
        model = SpoolModel(Path(folder), Limits(max_bytes, 1 << 50))
        for name, *arguments in (one for harm, work in lives for one in (harm, *work)):
            getattr(model, name)(*arguments)
        model.drain()
        assert model.lost.keys() <= {"spool_damaged"}
        for source_id, taken in model.taken.items():
            first = list(dict.fromkeys(model.delivered[source_id]))
            assert set(taken) - model.damaged <= set(first)
            assert first == [frame_id for frame_id in taken if frame_id in first], "in order"
        model.sync()
        assert (model.queue.frames(), model.queue.size_bytes(), model.files()) == (0, 0, [])


def test_what_was_done_and_synced_does_not_come_again(tmp_path: Path) -> None:
    model = SpoolModel(tmp_path)
    for _ in range(10):
        model.append("cam", 100)
        model.append("gate", 100)
    for number in range(6):
        model.send("cam")
        model.deliver("cam")
        if number == 3:
            model.sync()
    model.kill()
    assert model.queue.frames_by_source() == {"cam": 6, "gate": 10}, "two were done since the last sync"
    model.drain()
    model.sync()
    model.kill()
    assert model.queue.frames() == 0


def test_at_the_limit_the_oldest_frames_go_and_are_counted(tmp_path: Path) -> None:
    lost: list[tuple[str, str]] = []
    queue = DiskQueue(tmp_path, Limits(64_000, 1 << 50), lambda *one: lost.append(one))
    for number in range(200):
        queue.append(frame_of("cam" if number % 4 else "gate", number, 1_000), 0)
        assert sum(path.stat().st_size for path in tmp_path.glob("*.spool")) == queue.size_bytes() <= 64_000
    by_source = Counter(source_id for source_id, _reason in lost)
    assert {reason for _, reason in lost} == {"spool_full"}
    assert queue.frames() + len(lost) == 200
    assert by_source["gate"] == pytest.approx(len(lost) / 4, abs=1)
    assert queue.frames() > 50, "little more than what had to go went"
    head = queue.head("cam")
    assert head is not None
    assert head.number >= len(lost), "the oldest ones went"


def test_a_frame_that_is_under_way_is_not_lost_with_its_copy(tmp_path: Path) -> None:
    lost: list[tuple[str, str]] = []
    queue = DiskQueue(tmp_path, Limits(10_000, 1 << 50), lambda *one: lost.append(one))
    entries = [queue.append(frame_of("cam", number, 1_000), 0, sent=True) for number in range(20)]
    assert lost == []
    queue.done(entries[0])
    queue.put_back(entries[1:2])
    assert lost == [("cam", "spool_full")], "it came back, and nothing has it any more"


def test_a_source_whose_every_frame_is_in_the_oldest_file_goes_with_it(tmp_path: Path) -> None:
    lost: Counter[tuple[str, str]] = Counter()
    queue = DiskQueue(tmp_path, Limits(200_000, 1 << 50), lambda *one: lost.update([one]))
    for number in range(3):
        queue.append(frame_of("gone", number, 100), 0)
    for number in range(100):
        queue.append(frame_of("cam", number, 4_000), 0)
    assert lost["gone", "spool_full"] == 3
    assert queue.frames_by_source() == {"cam": 100 - lost["cam", "spool_full"]}
    assert queue.size_bytes() <= 200_000


def test_what_came_back_keeps_its_place_however_much_of_it_there_is(tmp_path: Path) -> None:
    queue = DiskQueue(tmp_path, Limits(1 << 40, 1 << 50), lambda *_: None)
    entries = [queue.append(frame_of("cam", number), 0) for number in range(20_000)]
    for entry in entries[:15_000]:
        queue.sent(entry)
    begun_s = time.process_time()
    queue.put_back(entries[2:15_000:2])
    queue.put_back(entries[1:15_000:2])
    queue.put_back(entries[:1])
    assert time.process_time() - begun_s < 1.0, "once through the queue, and not once for each frame"
    for entry in entries:
        assert queue.head("cam") is entry
        queue.sent(entry)


def test_a_frame_that_came_back_and_was_sent_again_survives_a_kill(tmp_path: Path) -> None:
    """It is sent behind younger ones that are still under way."""
    queue = DiskQueue(tmp_path, Limits(1 << 40, 1 << 50), lambda *_: None)
    first, *others = [queue.append(frame_of("cam", number), 0) for number in range(3)]
    for entry in (first, *others):
        queue.sent(entry)
    queue.put_back([first])
    queue.sent(first)
    queue.sync()
    again = DiskQueue(tmp_path, Limits(1 << 40, 1 << 50), lambda *_: None)
    head = again.head("cam")
    assert head is not None
    assert (head.number, again.frames()) == (first.number, 3)


def test_frames_and_age_have_limits_too(tmp_path: Path) -> None:
    lost: list[tuple[str, str]] = []
    queue = DiskQueue(tmp_path, Limits(64_000, 1_000, max_frames=30), lambda *one: lost.append(one))
    for number in range(40):
        queue.append(frame_of("cam", number, 400), stored_at=number)
    assert queue.frames() <= 30
    full = len(lost)
    queue.expire(1_035)
    assert lost[full:] == [("cam", "spool_too_old")] * (35 - full)
    assert queue.oldest_at() == 35


def test_damage_is_counted_and_told_with_its_range(tmp_path: Path) -> None:
    model = SpoolModel(tmp_path)
    for _ in range(5):
        model.append("cam", 1_000)
    path, begin, end, _ = model.places[2]
    before = metrics.SPOOL_DAMAGED_BYTES._value.get()
    with capture_logs() as lines:
        model.harm(path, begin + 1, begin + 2, removes=False)
    [line] = [line for line in lines if line["log_level"] == "error"]
    assert (line["file"], line["from_byte"], line["to_byte"], line["frames"]) == (str(path), begin, end, 1)
    assert metrics.SPOOL_DAMAGED_BYTES._value.get() - before == end - begin
    with capture_logs() as lines:
        model.harm(path, model.places[3][1] + 500, model.places[3][1] + 501, removes=False)
        model.drain()
    assert model.lost == {"spool_damaged": 1}, "of a damaged picture the source is known"
    assert model.delivered["cam"] == ["cam/1/0", "cam/1/1", "cam/1/3"]


def test_a_picture_that_looks_like_a_record_is_none(tmp_path: Path) -> None:
    model = SpoolModel(tmp_path)
    model.append("cam", 10)
    inner = (model.places[0][0]).read_bytes()
    queue = model.queue
    entry = queue.append(ReadyFrame("gate", "gate/1/0", 0, None, inner * 3), 0)
    other = Segment.all_in(tmp_path)[0]
    assert len(list(other.scan())) == 2
    assert queue.read(entry) is not None


def test_a_disk_that_is_full_leaves_no_half_record(tmp_path: Path) -> None:
    """The limit on a file's size stands in for the disk's."""
    model = SpoolModel(tmp_path)
    model.append("cam", 1_000)
    size = model.files()[0].stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 600, hard))
    try:
        for _ in range(3):
            with pytest.raises(OSError, match="File too large") as refused:
                model.queue.append(frame_of("cam", 1, 1_000), 0)
            assert refused.value.errno == errno.EFBIG
            assert model.files()[0].stat().st_size == size
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    model.append("cam", 1_000)
    model.drain()
    assert model.delivered["cam"] == ["cam/1/0", "cam/1/1"]


def test_a_read_takes_no_more_memory_than_its_frame(tmp_path: Path) -> None:
    import tracemalloc

    model = SpoolModel(tmp_path)
    for _ in range(40):
        model.append("cam", MIB // 4)
    tracemalloc.start()
    model.open()
    model.drain()
    assert tracemalloc.get_traced_memory()[1] < 3 * MIB
    tracemalloc.stop()


def test_few_files_are_open_however_many_there_are(tmp_path: Path) -> None:
    model = SpoolModel(tmp_path, Limits(64_000, 1 << 50))
    for _ in range(40):
        model.append("cam", 1_000)
        model.append("gate", 10)
    before = len(list(Path("/proc/self/fd").iterdir()))
    while model.send("cam"):
        model.deliver("cam")
    assert len(model.files()) > 30
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 16


def test_a_frame_that_cannot_be_read_now_is_read_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = SpoolModel(tmp_path)
    model.append("cam", 1_000)

    def no_handle(*_: Any) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as without:
        without.setattr("ingest.publish.spool.segment.os.open", no_handle)
        with pytest.raises(OSError, match="Too many open files"):
            model.send("cam")
        with pytest.raises(OSError, match="Too many open files"):
            model.kill()
    model.kill()
    model.drain()
    assert model.delivered["cam"] == ["cam/1/0"]
    model.append("cam", 1_000)
    model.places[-1][0].unlink()
    model.damaged.add("cam/1/1")
    model.drain()
    assert model.lost == {"spool_damaged": 1}, "somebody has deleted the file"


def test_progress_that_is_damaged_counts_as_none(tmp_path: Path) -> None:
    written = Progress(7, {"cam": 3})
    write_progress(tmp_path, written)
    assert read_progress(tmp_path) == written
    assert [written.needs("cam", number) for number in (2, 3, 7)] == [False, True, True]
    assert [written.needs("gate", number) for number in (3, 6, 7)] == [False, False, True]
    file = tmp_path / progress_file.NAME
    for damaged in (b"", b"zz", file.read_bytes()[:-1], file.read_bytes().replace(b"7", b"9")):
        file.write_bytes(damaged)
        assert read_progress(tmp_path) is None
