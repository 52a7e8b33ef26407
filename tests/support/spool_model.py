"""A disk queue in a folder beside a model of it: what it took, what was harmed, what may come twice."""

from collections import Counter, defaultdict
from pathlib import Path

from ingest.publish.frame import ReadyFrame
from ingest.publish.spool import progress as progress_file
from ingest.publish.spool.disk_queue import DiskQueue, Limits
from ingest.publish.spool.entries import Entry

NO_LIMITS = Limits(1 << 40, 1 << 50)


def frame_of(source_id: str, number: int, size: int = 10) -> ReadyFrame:
    value = f"{source_id} {number} ".encode().ljust(size, b"x")
    return ReadyFrame(source_id, f"{source_id}/1/{number}", number, None, value)


class SpoolModel:
    """A queue in a folder, and what must become of each frame."""

    def __init__(self, folder: Path, limits: Limits = NO_LIMITS) -> None:
        self.folder, self.limits, self.lost = folder, limits, Counter[str]()
        self.taken: dict[str, list[str]] = defaultdict(list)
        self.delivered: dict[str, list[str]] = defaultdict(list)
        self.damaged: set[str] = set()
        # Delivered since the last sync, and what may therefore come again after a kill.
        self.unsynced: set[str] = set()
        self.may_repeat: set[str] = set()
        self.places: list[tuple[Path, int, int, str]] = []
        self.under_way: dict[str, list[tuple[Entry, str]]] = defaultdict(list)
        self.open()

    def open(self) -> None:
        self.under_way.clear()
        self.may_repeat |= self.unsynced
        self.queue = DiskQueue(self.folder, self.limits, lambda _source_id, reason: self.lost.update([reason]))

    def append(self, source_id: str, size: int) -> None:
        frame = frame_of(source_id, len(self.taken[source_id]), size)
        entry = self.queue.append(frame, 0)
        self.taken[source_id].append(frame.frame_id)
        self.places.append((entry.segment.path, entry.offset, entry.offset + entry.length, frame.frame_id))

    def send(self, source_id: str) -> bool:
        entry = self.queue.head(source_id)
        if entry is None:
            return False
        frame = self.queue.read(entry)
        if frame is None:
            assert self.damaged, "only what was damaged cannot be read"
            return True
        assert frame.value.startswith(f"{source_id} {frame.captured_at} ".encode())
        self.queue.sent(entry)
        self.under_way[source_id].append((entry, frame.frame_id))
        return True

    def deliver(self, source_id: str) -> None:
        if self.under_way[source_id]:
            entry, frame_id = self.under_way[source_id].pop(0)
            self.queue.done(entry)
            assert frame_id not in self.delivered[source_id] or frame_id in self.may_repeat
            self.delivered[source_id].append(frame_id)
            self.unsynced.add(frame_id)

    def fail(self, source_id: str) -> None:
        self.queue.put_back(entry for entry, _ in self.under_way.pop(source_id, []))

    def sync(self) -> None:
        self.queue.sync()
        self.unsynced.clear()

    def kill(self) -> None:
        self.open()

    def close(self) -> None:
        self.queue.close()
        self.unsynced.clear()
        self.open()

    def cut(self, count: int) -> None:
        if files := self.files():
            size = files[-1].stat().st_size
            self.harm(files[-1], max(0, size - count), size, removes=True)

    def flip(self, which: float, where: float) -> None:
        if files := self.files():
            file = files[int(which * len(files))]
            at = int(where * file.stat().st_size)
            self.harm(file, at, at + 1, removes=False)

    def remove(self, which: float, where: float, count: int) -> None:
        if files := self.files():
            file = files[int(which * len(files))]
            size = file.stat().st_size
            at = int(where * size)
            self.harm(file, at, min(size, at + count), removes=True)

    def progress(self) -> None:
        """Its file gets lost: whatever is still there is sent again."""
        (self.folder / progress_file.NAME).unlink(missing_ok=True)
        self.may_repeat |= {frame_id for frame_ids in self.delivered.values() for frame_id in frame_ids}
        self.open()

    def harm(self, file: Path, start: int, end: int, *, removes: bool) -> None:
        found = bytearray(file.read_bytes())
        if removes:
            del found[start:end]
        else:
            found[start] ^= 0x55
        file.write_bytes(found)
        shift = end - start if removes else 0
        places = []
        for path, begin, over, frame_id in self.places:
            if path == file and begin < end and start < over:
                self.damaged.add(frame_id)
            elif path == file and begin >= end:
                places.append((path, begin - shift, over - shift, frame_id))
            else:
                places.append((path, begin, over, frame_id))
        self.places = places
        self.open()

    def files(self) -> list[Path]:
        return [path for path in sorted(self.folder.glob("*.spool")) if path.stat().st_size]

    def drain(self) -> None:
        for source_id in list(self.taken):
            while self.send(source_id):
                self.deliver(source_id)
            while self.under_way[source_id]:
                self.deliver(source_id)
