"""What a replay answers differently from the live labels of the same frames, and how much of that is noise. Pure.

Frames are matched by their coordinates and ids. A frame has changed when its best class (id and name) or its decision
is another one, or when only one side could label it and the other has a dead letter. Frames with a dead letter on both
sides are not compared, and frames without an outcome on one side are counted apart.

The same model run twice changes a few answers too. That noise is measured by a sample of the frames that the replay
runs twice; what changed beyond it is the difference of two proportions, with Newcombe's interval.
"""

import numpy as np
from numpy.typing import NDArray

from infra.replay.result import Diff, Moved, Noise, Pair, Side
from infra.replay.table import Mask, Names, Outcome, Rows, matched

MAX_PAIRS = 100
MAX_CAMERAS = 100
MAX_EXAMPLES = 12
CONFIDENCE_BINS = 10


def diff(
    replay_id: str, live: Rows, replay: Rows, names: Names, noise: tuple[Rows, Rows] | None = None, sampled: int = 1
) -> Diff:
    """The comparison of two tables of answers; `noise`: the two runs of the A/A sample."""
    before, after, live_alone, replay_alone = matched(live, replay)
    is_compared = (before["outcome"] != Outcome.DEAD) | (after["outcome"] != Outcome.DEAD)
    before, after = before[is_compared], after[is_compared]
    by_class, by_decision, by_outcome = _kinds(before, after)
    is_changed = by_class | by_decision | by_outcome
    changes = before[is_changed], after[is_changed]
    pairs, pairs_count = _pairs(before[by_class | by_outcome], after[by_class | by_outcome], names)
    cameras, cameras_moved, cameras_count = _cameras(after["source"], is_changed, names)
    return Diff(
        replay_id=replay_id,
        frames=len(before),
        changed=int(is_changed.sum()),
        changed_class=int(by_class.sum()),
        changed_decision=int(by_decision.sum()),
        changed_outcome=int(by_outcome.sum()),
        noise=noise_of(*noise) if noise else Noise(),
        pairs=pairs,
        pairs_count=pairs_count,
        decisions=_decisions(*changes),
        cameras=cameras,
        cameras_moved=cameras_moved,
        cameras_count=cameras_count,
        live=_side(before, live[live_alone]),
        replay=_side(after, replay[replay_alone]),
        shift=_shift(before, after),
        changes=changes,
        shown=_shown(*changes),
        promoted=int(before["promoted"].sum()),
        promoted_since=int(before["revision"][before["promoted"]].min()) if before["promoted"].any() else None,
        newest_revision=int(before["revision"].max(initial=0)),
        sampled=sampled,
    )


def noise_of(first: Rows, second: Rows) -> Noise:
    """How many of the frames that both runs of the sample have an outcome of differ."""
    before, after, _, _ = matched(first, second)
    is_compared = (before["outcome"] != Outcome.DEAD) | (after["outcome"] != Outcome.DEAD)
    by_class, by_decision, by_outcome = _kinds(before[is_compared], after[is_compared])
    return Noise(int((by_class | by_decision | by_outcome).sum()), int(is_compared.sum()))


def _kinds(before: Rows, after: Rows) -> tuple[Mask, Mask, Mask]:
    """Where the class changed; where the decision did and the class did not; where one side has a dead letter."""
    by_outcome: Mask = (before["outcome"] == Outcome.DEAD) != (after["outcome"] == Outcome.DEAD)
    by_class: Mask = ~by_outcome & (before["answer"] != after["answer"])
    by_decision: Mask = ~by_outcome & ~by_class & (before["outcome"] != after["outcome"])
    return by_class, by_decision, by_outcome


def _pairs(before: Rows, after: Rows, names: Names) -> tuple[list[Pair], int]:
    """The most frequent pairs first, and how many there are."""
    found, counts = np.unique(np.stack([before["answer"], after["answer"]], axis=1), axis=0, return_counts=True)
    pairs = [
        Pair(*names.class_of(int(found[index][0])), *names.class_of(int(found[index][1])), int(counts[index]))
        for index in np.argsort(-counts, kind="stable")[: 2 * MAX_PAIRS]
    ]
    # The hashes differ from process to process, so pairs of the same count are ordered by their names.
    pairs.sort(key=lambda pair: (-pair.count, pair.from_name, pair.to_name))
    return pairs[:MAX_PAIRS], len(found)


def _decisions(before: Rows, after: Rows) -> list[tuple[str, str, int]]:
    """How many frames went from one outcome to another."""
    both = [
        (left, right, int(((before["outcome"] == left) & (after["outcome"] == right)).sum()))
        for left in Outcome
        for right in Outcome
        if left != right
    ]
    return [(left.name, right.name, count) for left, right, count in both if count]


def _cameras(sources: NDArray[np.int64], is_changed: Mask, names: Names) -> tuple[list[Moved], int, int]:
    """The sources with the most changed frames first, how many have such frames, and how many were compared."""
    found, where = np.unique(sources, return_inverse=True)
    of, changed = np.bincount(where, minlength=len(found)), np.bincount(where[is_changed], minlength=len(found))
    moved = [
        Moved(names.source_of(int(found[index])), int(changed[index]), int(of[index]))
        for index in np.lexsort((of, -changed))[: 2 * MAX_CAMERAS]
        if changed[index]
    ]
    moved.sort(key=lambda each: (-each.changed, each.of, each.source_id))
    return moved[:MAX_CAMERAS], int(np.count_nonzero(changed)), len(found)


def _side(rows: Rows, alone: Rows) -> Side:
    counts = np.bincount(rows["outcome"], minlength=len(Outcome))
    sure = rows["probability"][np.isfinite(rows["probability"])]
    lone_dead = int((alone["outcome"] == Outcome.DEAD).sum())
    return Side(
        accepted=int(counts[Outcome.ACCEPTED]),
        review=int(counts[Outcome.REVIEW]),
        dead=int(counts[Outcome.DEAD]),
        lone=len(alone) - lone_dead,
        lone_dead=lone_dead,
        confidence=float(sure.mean(dtype=np.float64)) if len(sure) else None,
        histogram=tuple(map(int, np.histogram(sure, CONFIDENCE_BINS, (0.0, 1.0))[0])),
    )


def _shift(before: Rows, after: Rows) -> float | None:
    shift = (after["probability"] - before["probability"])[before["answer"] == after["answer"]]
    shift = shift[np.isfinite(shift)]
    return float(shift.mean(dtype=np.float64)) if len(shift) else None


def _shown(before: Rows, after: Rows) -> list[int]:
    """Examples of the most frequent kinds of change in turn, of each kind those of which both sides are surest."""
    kinds = np.stack([before["answer"], before["outcome"], after["answer"], after["outcome"]], axis=1)
    _, where, counts = np.unique(kinds, axis=0, return_inverse=True, return_counts=True)
    sure = np.nan_to_num(before["probability"]) + np.nan_to_num(after["probability"])
    columns = []
    for kind in np.argsort(-counts, kind="stable")[:MAX_EXAMPLES]:
        members = np.flatnonzero(where.reshape(-1) == kind)
        columns.append([int(index) for index in members[np.argsort(-sure[members], kind="stable")][:MAX_EXAMPLES]])
    turns = (column[turn] for turn in range(MAX_EXAMPLES) for column in columns if turn < len(column))
    return [index for index, _ in zip(turns, range(MAX_EXAMPLES), strict=False)]
