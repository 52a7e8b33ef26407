"""The queue on disk: the frames of all sources in one log, in order per source, within limits, for one thread."""

import errno
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from infra.process import logs, metrics
from infra.settings import MIB
from ingest.publish.frame import ReadyFrame
from ingest.publish.spool.entries import Entry, SourceEntries
from ingest.publish.spool.progress import Progress, read_progress, write_progress
from ingest.publish.spool.segment import Damage, Segment
from schemas.records import Micros

log = logs.get(__name__)

# The index has about 200 bytes a frame.
MAX_FRAMES = 250_000
# A limit on bytes is kept by whole segments: with so many of them little goes at once.
_SEGMENTS = 64
_MAX_SEGMENT_BYTES = 32 * MIB

# Files that stay open for reading: sources far apart are at as many places, and a process has few file handles.
_MAX_READERS = 16
# What reading says when the bytes are gone; any other error is of the process, and passes.
_GONE = {errno.EIO, errno.ENOENT}

# Called with the source id and the reason: `spool_full`, `spool_too_old` or `spool_damaged`.
OnLost = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """At a limit the oldest frames go; those of all sources together count."""

    max_bytes: int
    max_age_us: int
    max_frames: int = MAX_FRAMES


class DiskQueue:
    """A frame that `append` took leaves by `done`, by a limit or by damage, also when the process was killed meanwhile.

    What was done since the last `sync` can come again after a kill. `append` and `sync` raise OSError; so does the
    making of a queue where a file cannot be read now, which is then left as it is.
    """

    def __init__(self, folder: Path, limits: Limits, on_lost: OnLost) -> None:
        self._folder, self._limits, self._on_lost = folder, limits, on_lost
        self._segment_bytes = min(_MAX_SEGMENT_BYTES, max(1, limits.max_bytes // _SEGMENTS))
        self._segments: deque[Segment] = deque()
        self._readers: deque[Segment] = deque()
        self._sources: dict[str, SourceEntries] = {}
        self._next_number = 0
        self._frames = self._bytes = 0
        self._written: Progress | None = None
        self._recover()

    def append(self, frame: ReadyFrame, stored_at: Micros, *, sent: bool = False) -> Entry:
        """Take one frame behind all others of its source. `sent`: Kafka's client has it already."""
        segment = self._open_segment()
        offset, length = segment.append(self._next_number, frame, stored_at)
        entry = Entry(self._next_number, frame.source_id, segment, offset, length, stored_at)
        self._bytes += length
        self._next_number += 1
        self._index(entry, sent)
        self._keep_limits()
        return entry

    def waiting(self) -> list[str]:
        """The sources with frames that wait."""
        return [source_id for source_id, source in self._sources.items() if source.waiting]

    def head(self, source_id: str) -> Entry | None:
        """The frame of a source that is to be sent next."""
        source = self._sources.get(source_id)
        return source.waiting[0] if source is not None and source.waiting else None

    def read(self, entry: Entry) -> ReadyFrame | None:
        """The frame of an entry; None where it is damaged, and leaves the queue. OSError: it may be read later."""
        self._will_read(entry.segment)
        try:
            frame = entry.segment.read(entry.offset, entry.length)
            why = "its checksum is wrong"
        except OSError as error:
            if error.errno not in _GONE:
                raise
            frame, why = None, str(error)
        if frame is not None and frame.source_id == entry.source_id:
            return frame
        self._tell_damage(entry.segment, Damage(entry.offset, entry.offset + entry.length, 1), why)
        self.lose(entry, "spool_damaged")
        return None

    def sent(self, entry: Entry) -> None:
        """Kafka's client has the head of its source."""
        source = self._sources[entry.source_id]
        source.waiting.popleft()
        source.sent[entry.number] = entry

    def put_back(self, entries: Iterable[Entry]) -> None:
        """Entries of one source that were sent and not delivered wait again, each at its place."""
        back: list[Entry] = []
        for entry in entries:
            source = self._sources.get(entry.source_id)
            if source is None or source.sent.pop(entry.number, None) is None:
                self._on_lost(entry.source_id, "spool_full")  # a limit took it from the disk while it was under way
            else:
                back.append(entry)
        if back:
            self._sources[back[0].source_id].wait_again(back)

    def done(self, entry: Entry) -> None:
        """The frame needs nothing more: it is delivered, or can never be."""
        source = self._sources.get(entry.source_id)
        if source is None or source.sent.pop(entry.number, None) is None:
            return  # a limit took it
        self._leave(entry)

    def lose(self, entry: Entry, reason: str) -> None:
        """Leave out a head of a source that waits."""
        self._sources[entry.source_id].waiting.popleft()
        self._leave(entry)
        self._on_lost(entry.source_id, reason)

    def expire(self, now: Micros) -> None:
        """Leave out what waits for longer than the limit."""
        for source_id in self.waiting():
            while (head := self.head(source_id)) is not None and head.stored_at < now - self._limits.max_age_us:
                self.lose(head, "spool_too_old")

    def frames(self, source_id: str | None = None) -> int:
        """How many frames it holds, of one source or of all; those that are sent and not yet delivered count."""
        if source_id is None:
            return self._frames
        source = self._sources.get(source_id)
        return len(source.waiting) + len(source.sent) if source is not None else 0

    def frames_by_source(self) -> dict[str, int]:
        return {source_id: self.frames(source_id) for source_id in self._sources}

    def size_bytes(self) -> int:
        """What its files have on disk."""
        return self._bytes

    def oldest_at(self) -> Micros | None:
        """When the oldest frame was taken."""
        oldest = (source.oldest() for source in self._sources.values())
        return min((entry.stored_at for entry in oldest if entry is not None), default=None)

    def sync(self) -> None:
        """Let the disk know all that was appended and done. Without a change it costs nothing."""
        for segment in list(self._segments)[-1:]:
            segment.sync()
        oldest = {source_id: source.oldest() for source_id, source in self._sources.items()}
        numbers = {source_id: entry.number for source_id, entry in oldest.items() if entry is not None}
        progress = Progress(self._next_number, numbers)
        if progress != self._written:
            write_progress(self._folder, progress)
            self._written = progress

    def close(self) -> None:
        """Sync, and close the files."""
        try:
            self.sync()
        finally:
            for segment in self._segments:
                segment.close()

    # -- details

    def _index(self, entry: Entry, sent: bool) -> None:
        source = self._sources.setdefault(entry.source_id, SourceEntries())
        if sent:
            source.sent[entry.number] = entry
        else:
            source.waiting.append(entry)
        entry.segment.pending += 1
        self._frames += 1

    def _leave(self, entry: Entry) -> None:
        self._frames -= 1
        entry.segment.pending -= 1
        source = self._sources[entry.source_id]
        if not source.waiting and not source.sent:
            del self._sources[entry.source_id]
        if not entry.segment.pending:
            self._remove(entry.segment)

    def _open_segment(self) -> Segment:
        newest = self._segments[-1] if self._segments else None
        if newest is None or not newest.is_open or newest.size_bytes >= self._segment_bytes:
            if newest is not None:
                newest.seal()
            newest = Segment.create(self._folder, self._next_number)
            self._segments.append(newest)
        return newest

    def _will_read(self, segment: Segment) -> None:
        if segment not in self._readers:
            self._readers.append(segment)
            if len(self._readers) > _MAX_READERS:
                self._readers.popleft().close_reader()

    def _remove(self, segment: Segment) -> None:
        """Delete a segment that nothing needs. One that cannot be deleted is not needed at the next start either."""
        self._segments.remove(segment)
        self._bytes -= segment.size_bytes
        if segment in self._readers:
            self._readers.remove(segment)
        try:
            segment.close()
            segment.path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("a file of the spool cannot be deleted", file=str(segment.path), why=error.strerror)

    def _keep_limits(self) -> None:
        while len(self._segments) > 1 and (
            self._bytes > self._limits.max_bytes or self._frames > self._limits.max_frames
        ):
            self._lose_segment(self._segments[0])

    def _lose_segment(self, segment: Segment) -> None:
        """Drop the oldest frames. Those that are under way to Kafka are not lost; only their copy on disk goes."""
        for source in list(self._sources.values()):
            for entry in [entry for entry in source.sent.values() if entry.segment is segment]:
                self.done(entry)
            while source.waiting and source.waiting[0].segment is segment:
                self.lose(source.waiting[0], "spool_full")

    def _recover(self) -> None:
        progress = read_progress(self._folder)
        if progress is None:
            progress = Progress()
        self._next_number = progress.next_number
        for segment in Segment.all_in(self._folder):
            self._segments.append(segment)
            self._bytes += segment.size_bytes
            try:
                self._recover_segment(segment, progress)
            except OSError as error:
                if error.errno not in _GONE:
                    raise
                self._tell_damage(segment, Damage(0, segment.size_bytes, 0), str(error))
            if not segment.pending:
                self._remove(segment)
        if self._frames:
            log.info(
                "the spool has frames of before",
                frames=self._frames,
                bytes=self._bytes,
                sources=len(self._sources),
            )

    def _recover_segment(self, segment: Segment, progress: Progress) -> None:
        self._next_number = max(self._next_number, segment.first_number)
        for found in segment.scan():
            if isinstance(found, Damage):
                self._tell_damage(segment, found, "no record is there")
                continue
            offset, header = found
            self._next_number = max(self._next_number, header.number + 1)
            if progress.needs(header.source_id, header.number):
                entry = Entry(header.number, header.source_id, segment, offset, header.size_bytes, header.stored_at)
                self._index(entry, sent=False)

    def _tell_damage(self, segment: Segment, damage: Damage, why: str) -> None:
        metrics.SPOOL_DAMAGED_BYTES.inc(damage.end - damage.start)
        log.error(
            "a file of the spool is damaged: the frames around it are sent all the same",
            file=str(segment.path),
            from_byte=damage.start,
            to_byte=damage.end,
            frames=damage.frames,
            why=why,
        )
