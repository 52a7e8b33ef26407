"""Which of a replay's labels are promoted, and the records that they become. Pure."""

from dataclasses import dataclass, replace

import numpy as np

from infra.kafka.sender import OutRecord
from infra.kafka.spans import Span
from infra.kafka.topics import TopicNames
from infra.replay.result import Diff
from infra.replay.table import Mask, Outcome, Rows
from schemas import codec
from schemas.codec import Registry
from schemas.headers import REPLAY_ID
from schemas.records import Decision, Label

# Labels to promote that are nearer to each other than this are read as one range: a fetch returns so many anyway.
MERGE_OFFSETS = 2_000


@dataclass(frozen=True, slots=True)
class Choice:
    """`rows`: the replay's labels to promote. `dead`: changed frames that the replay could not label; theirs stays.

    `overruled`: changed frames that another replay has corrected since this one was promoted.
    """

    rows: Rows
    dead: int
    overruled: int


def choose(found: Diff) -> Choice:
    """The changed labels, but for those that were promoted before: nothing is promoted twice.

    A replay is promoted once as a whole: a later run finishes one that was broken off, and takes back nothing that
    another replay has corrected meanwhile.
    """
    before, after = found.changes
    promoted: Mask = before["promoted"]
    is_dead: Mask = after["outcome"] == Outcome.DEAD
    is_overruled: Mask = ~promoted & (before["revision"] >= (found.promoted_since or np.iinfo(np.int64).max))
    is_open = ~promoted & ~is_overruled
    return Choice(after[is_open & ~is_dead], int((is_dead & is_open).sum()), int(is_overruled.sum()))


def spans_of(topic: str, rows: Rows) -> list[Span]:
    """Ranges of the topic that hold the records of all rows; other records lie between them."""
    spans: list[Span] = []
    for partition in np.unique(rows["partition"]):
        offsets = np.sort(rows["offset"][rows["partition"] == partition])
        cuts = np.flatnonzero(np.diff(offsets) > MERGE_OFFSETS)
        firsts, lasts = np.append(offsets[:1], offsets[cuts + 1]), np.append(offsets[cuts], offsets[-1:])
        spans += [Span(topic, int(partition), int(a), int(b) + 1) for a, b in zip(firsts, lasts, strict=True)]
    return spans


def correction_of(label: Label, revision: int) -> Label:
    """The label as a correction of the frame that it repeats. Raises ValueError for one that names no such frame."""
    if label.replay_of is None:
        raise ValueError(f"the label of {label.source} does not tell which frame it repeats")
    return replace(label, source=label.replay_of, replay_of=None, revision=revision)


def records_of(correction: Label, names: TopicNames, registry: Registry | None) -> list[OutRecord]:
    """For `labels`, and for the subset that people review as the worker writes it.

    The header tells readers that look for corrections only. There is no `sightline-clock`: that of the label in the
    lane tells the time of the copy.
    """
    topics = [names.labels, names.review] if correction.decision is Decision.REVIEW else [names.labels]
    headers = [(REPLAY_ID, (correction.replay_id or "").encode())]
    return [
        OutRecord(topic, correction.source_id, codec.encode(correction, registry, topic), headers) for topic in topics
    ]
