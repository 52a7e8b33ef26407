"""Which capture process reads which camera. A process costs 60 MB and more, so several cameras share one.

Cameras that share a process are reached in the same way, because FFmpeg takes its options from the environment. A
camera under suspicion gets a process of its own: see `Feed`, which decides that.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Self
from urllib.parse import urlsplit

from ingest.capture.process import CaptureChannel, CaptureProcess
from ingest.capture.wire import CaptureMessage
from ingest.sources.parse import ReaderKind
from ingest.sources.task import CaptureTask

# Codecs of files and drivers of local cameras crash and hang more often than they save memory.
SHARING = (ReaderKind.STREAM, ReaderKind.HTTP, ReaderKind.SIM)
# A process that dies closes its pipes a moment before its parent can see it.
DEATH_WAIT_S = 0.5


def group_key(task: CaptureTask) -> str | None:
    """Sources with the same key may share a process; None: it gets one of its own.

    Whether a proxy is used depends on the host, and would be one setting for all in the process.
    """
    if task.reader not in SHARING or task.connection.use_proxy:
        return None
    scheme = urlsplit(task.address).scheme if task.reader is not ReaderKind.SIM else ""
    return repr((task.reader.value, scheme, task.keyframes_only, replace(task.connection, user="", password="")))


@dataclass
class _Group:
    process: CaptureProcess
    key: str | None
    capacity: int
    members: set[str] = field(default_factory=set)
    # Whether it ever had two members at once.
    was_shared: bool = False
    # Once the watchdog has ended the process: the source that hung.
    ended_for: str | None = None


class CaptureGroups:
    """The capture processes of an agent. For any thread."""

    def __init__(self, group_size: int = 1) -> None:
        self.group_size = group_size
        self._groups: list[_Group] = []
        self._lock = threading.Lock()
        # Linux ends a process with the thread that started it: this one lives as long as the agent.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="capture-starter")

    def seat(self, source_id: str, task: CaptureTask, company: int) -> "Seat":
        """Let a source be read in a process with room for `company` sources. Raises OSError where none starts."""
        group = self._join(source_id, group_key(task), company)
        try:
            with self._lock:  # a process takes one task at a time
                channel = group.process.open(task)
        except OSError:  # too many open files
            self.leave(group, source_id)
            raise
        return Seat(self, group, source_id, channel)

    def _join(self, source_id: str, key: str | None, company: int) -> _Group:
        company = company if key is not None else 1
        with self._lock:
            group = next((group for group in self._groups if company > 1 and _has_room(group, key, company)), None)
            if group is None:
                group = _Group(self._starter.submit(CaptureProcess).result(), key, company)
                self._groups.append(group)
            group.members.add(source_id)
            group.was_shared |= len(group.members) > 1
            return group

    def leave(self, group: _Group, source_id: str) -> None:
        """A source is read no more; the process ends with the last one."""
        with self._lock:
            group.members.discard(source_id)
            is_last = not group.members
            if is_last and group in self._groups:
                self._groups.remove(group)
        if is_last:
            group.process.kill()

    def end(self, group: _Group, source_id: str) -> None:
        """End the process because of this source; the others in it are seated again by their feeds."""
        with self._lock:
            group.ended_for = group.ended_for or source_id
            if group in self._groups:
                self._groups.remove(group)
        group.process.kill_only()


def _has_room(group: _Group, key: str | None, company: int) -> bool:
    same = (group.key, group.capacity, group.ended_for) == (key, company, None)
    return same and len(group.members) < group.capacity and group.process.is_alive()


class Seat:
    """One source in a capture process. As a context manager it leaves the process at the end of the block."""

    def __init__(self, groups: CaptureGroups, group: _Group, source_id: str, channel: CaptureChannel) -> None:
        self._groups, self._group, self._source_id, self._channel = groups, group, source_id, channel

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()
        self._groups.leave(self._group, self._source_id)

    @property
    def is_shared(self) -> bool:
        """Whether others are or were in the process."""
        return self._group.was_shared

    @property
    def capacity(self) -> int:
        return self._group.capacity

    def read(self, timeout_s: float) -> CaptureMessage | None:
        """As CaptureChannel.read."""
        return self._channel.read(timeout_s)

    def end_process(self) -> None:
        """This source hangs, or sends garbage: its process ends, with all sources in it."""
        self._groups.end(self._group, self._source_id)

    def ended_for(self) -> str | None:
        """The other source because of which the process was ended: the first one that hung."""
        return self._group.ended_for if self._group.ended_for != self._source_id else None

    def died(self) -> bool:
        """After EOFError: whether the process is gone, and not only the reading of this source."""
        return self._group.process.ends_within(DEATH_WAIT_S if self.is_shared else 0.0)

    def cause_of_death(self) -> str:
        """As CaptureProcess.cause_of_death."""
        return self._group.process.cause_of_death()

    def last_words(self) -> list[str]:
        """As CaptureProcess.last_words, where nobody else can have said them. It ends the process: all is said then."""
        if self.is_shared:
            return []
        self._group.process.kill_only()
        self._group.process.ends_within(DEATH_WAIT_S)
        return self._group.process.last_words()
