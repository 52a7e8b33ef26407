"""Which labels are second ones for their frame, as a function of the labels topic alone. Pure."""

import hashlib
from collections import OrderedDict

from schemas.records import Label


def identity_of(label: Label) -> bytes:
    """16 bytes for (topic, partition, offset, frame_id, replay_id): what makes two labels the same one.

    The coordinates alone are not enough: those of a topic that was made again begin at 0 once more.
    """
    source = label.source
    key = (source.topic, source.partition, source.offset, label.frame_id, label.replay_id)
    return hashlib.blake2b(repr(key).encode(), digest_size=16).digest()


class RepeatWindow:
    """Recognises a label whose identity came before within `size_offsets` offsets of its partition of the topic.

    The answer for an offset depends on the records in the window before it and on nothing else. So a process that
    reads the window again after a crash or a rebalance gives the same answers as the one before it, and the labels
    that a sink stores do not depend on who was killed when. All labels of one source lie in one partition, and repeats
    of a crash lie within what was in flight, so a window of some thousand offsets finds them.

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
        """Whether the same label lies in the window before `offset`; remembers this one."""
        while self._last_offsets and next(iter(self._last_offsets.values())) < offset - self._size_offsets:
            self._last_offsets.popitem(last=False)
        key = identity_of(label)
        is_known = key in self._last_offsets
        self._last_offsets[key] = offset
        self._last_offsets.move_to_end(key)
        return is_known
