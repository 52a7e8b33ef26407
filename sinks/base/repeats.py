"""Recognises repeated labels of a frame by the content of the labels topic alone. Pure."""

import hashlib
from collections import OrderedDict

from schemas.records import Label


def identity_of(label: Label) -> bytes:
    """A hash of 16 bytes, equal for labels of the same frame: of its topic, partition, offset and frame_id, and of the
    label's replay_id and revision.

    The coordinates alone are not enough: in a topic that was deleted and created again, offsets start at 0 again. A
    correction (revision above 0) is no repeat of what it corrects.
    """
    source = label.source
    key = (source.topic, source.partition, source.offset, label.frame_id, label.replay_id, label.revision)
    return hashlib.blake2b(repr(key).encode(), digest_size=16).digest()


class RepeatWindow:
    """Recognises a label whose identity occurred in the `size_offsets` offsets before it in its partition.

    The answer for an offset depends only on the records in the window before it. So a process that reads the window
    again after a crash or a rebalance gives the same answers as the process before it, and the labels that a sink
    stores do not depend on which process was killed when. All labels of one source are in one partition, and a crash
    repeats only labels of frames that were in flight, so a window of some thousand offsets finds them.

    Offsets must come in increasing order. Memory: about 250 bytes for each label in the window.
    """

    def __init__(self, size_offsets: int) -> None:
        if size_offsets < 1:
            raise ValueError("size_offsets must be at least 1")
        self._size_offsets = size_offsets
        self._last_offsets: OrderedDict[bytes, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._last_offsets)

    def is_repeat(self, offset: int, label: Label) -> bool:
        """Whether the same label is in the window before `offset`. Remembers this label."""
        while self._last_offsets and next(iter(self._last_offsets.values())) < offset - self._size_offsets:
            self._last_offsets.popitem(last=False)
        key = identity_of(label)
        is_known = key in self._last_offsets
        self._last_offsets[key] = offset
        self._last_offsets.move_to_end(key)
        return is_known
