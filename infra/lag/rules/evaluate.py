"""Our own evaluator: the state of a partition in Burrow's words, and the cause in a sentence. Pure.

What it does otherwise than Burrow (the issues are linkedin/Burrow's):

- A window is a time and not a number of commits (#303, #128, #745).
- The lag is that against the end offset of the same look, and a slope is fitted to it: one smaller value among many,
  as a group makes that commits every few seconds, does not hide that it falls behind (#155, #453, #738).
- A group may have limits of its own beside the trend (#223, #425).
- A group without a member, a partition that nobody reads, a partition without a commit and a deleted topic have a
  state, where Burrow says OK or nothing.
- Records that retention removed unread, and those that it is about to remove.
- A second rewind counts as much as the first.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from infra.lag.rules.status import LagStatus
from infra.lag.rules.window import Sample, SampleWindow


@dataclass(frozen=True, slots=True)
class LagLimits:
    """From when on a lag matters. None: that limit does not exist.

    `stuck_after_s`: a partition with lag whose committed offset has
    not moved for that long is stopped or stalled. `trend_after_s`: the slope is believed when the samples span that
    long. `retention_share`: a warning when the oldest unread record has lived for that share of the retention.
    `warn_eta_s`: of a group that is late on purpose, such as a replay: it is judged by the time until it has caught up,
    not by the age of its records, which were old when they came, nor by its trend.
    """

    warn_lag: int | None = None
    error_lag: int | None = None
    warn_lag_s: float | None = None
    error_lag_s: float | None = None
    stuck_after_s: float = 60.0
    trend_after_s: float = 120.0
    retention_share: float = 0.8
    warn_eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class Members:
    """Who reads. `count`: members of the group; `owner`: the member that the partition is assigned to, "" for none.

    `paused`: why the owner reads nothing now although it could, as it says itself.
    """

    count: int
    owner: str = ""
    paused: str | None = None


class LagVerdict(NamedTuple):
    """A partition's state. `trend_per_s`: by how many records a second the lag grows (negative: it falls).

    `eta_s`: when the lag is gone if all goes on like this; None while it does not fall. `lost`: records that retention
    removed unread.
    """

    status: LagStatus
    cause: str
    lag: int
    trend_per_s: float = 0.0
    eta_s: float | None = None
    lost: int = 0


def judge_partition(
    window: SampleWindow,
    members: Members,
    limits: LagLimits,
    lag_s: float | None = None,
    retention_s: float | None = None,
) -> LagVerdict:
    """The state of a partition whose looks are in `window`; without any, the partition does not exist.

    `lag_s`: the age of the oldest unread record. `retention_s`: how long the topic keeps records, infinite for
    ever; None where that is not known: then nobody is warned.
    """
    last = window.newest
    if last is None:
        return LagVerdict(LagStatus.NOTFOUND, "the topic or partition does not exist any more", 0)
    # A slope over a short time is noise.
    trend = window.lag_per_s if window.span_s >= limits.trend_after_s else 0.0
    eta_s = last.lag / -trend if trend < 0 and last.lag else None
    waits_s = lag_s if limits.warn_eta_s is None else None
    status, cause = (
        _lost(last)
        or _beyond_the_end(last)
        or _never_committed(window, last, members, limits, waits_s)
        or _up_to_date(window, last)
        or _rewound(window, last)
        or _stuck(window, members, limits, waits_s)
        or _over(last.lag, waits_s, limits.error_lag, limits.error_lag_s, LagStatus.ERR)
        or _endangered(last, lag_s, retention_s, limits)
        or _over(last.lag, waits_s, limits.warn_lag, limits.warn_lag_s, LagStatus.WARN)
        or (_takes_long(window, eta_s, limits) if limits.warn_eta_s else _falls_behind(window, last, trend))
        or (LagStatus.OK, "")
    )
    return LagVerdict(status, cause, last.lag, trend, eta_s, last.lost)


Finding: TypeAlias = tuple[LagStatus, str] | None


def _lost(last: Sample) -> Finding:
    if not last.lost:
        return None
    return LagStatus.ERR, f"retention removed {last.lost} records before the group had read them"


def _beyond_the_end(last: Sample) -> Finding:
    """The group would go on where its consumer's `auto.offset.reset` says, and nobody knows what it missed."""
    if last.committed is None or last.committed <= last.end:
        return None
    beyond = last.committed - last.end
    return LagStatus.ERR, f"the committed offset lies {beyond} beyond the end: the topic was made again or cut"


def _never_committed(
    window: SampleWindow, last: Sample, members: Members, limits: LagLimits, lag_s: float | None
) -> Finding:
    """A group that has just begun may need a while for its first commit."""
    if last.committed is not None:
        return None
    if last.lag <= window.allowed_lag:
        return LagStatus.OK, "never committed, and no record waits"
    if _still_s(window, members, lag_s) < limits.stuck_after_s:
        return LagStatus.OK, "not committed yet"
    if not members.count:
        return LagStatus.STOP, f"never committed, and no member reads: {last.lag} records wait"
    if not members.owner:
        return LagStatus.STOP, f"never committed, and none of {members.count} members reads it: {last.lag} records wait"
    return LagStatus.STALL, f"{members.owner} reads it and never committed: {last.lag} records wait"


def _up_to_date(window: SampleWindow, last: Sample) -> Finding:
    return (LagStatus.OK, "") if last.lag <= window.allowed_lag else None


def _rewound(window: SampleWindow, last: Sample) -> Finding:
    """The group has been further than it is now. Burrow looks at the first rewind of its window alone."""
    back = window.highest_committed - (last.committed or 0)
    if back <= 0:
        return None
    return LagStatus.REWIND, f"the committed offset went back by {back} and has not come up again"


def _still_s(window: SampleWindow, members: Members, lag_s: float | None) -> float:
    """For how long nothing moves. Where nobody reads, one look is enough: the oldest record has waited as long."""
    return window.still_s if members.count else max(window.still_s, lag_s or 0.0)


def _stuck(window: SampleWindow, members: Members, limits: LagLimits, lag_s: float | None) -> Finding:
    """The committed offset has not moved although records waited all the time."""
    still_s = _still_s(window, members, lag_s)
    if still_s < limits.stuck_after_s:
        return None
    if not members.count:
        return LagStatus.STOP, f"no member reads: no commit for {still_s:.0f} s"
    if not members.owner:
        return LagStatus.STOP, f"none of {members.count} members reads it: no commit for {still_s:.0f} s"
    if members.paused is not None:
        return LagStatus.WARN, f"paused for {still_s:.0f} s: {members.paused}"
    return LagStatus.STALL, f"{members.owner} reads it and commits nothing new for {still_s:.0f} s"


def _over(lag: int, lag_s: float | None, max_lag: int | None, max_lag_s: float | None, status: LagStatus) -> Finding:
    if max_lag is not None and lag >= max_lag:
        return status, f"{lag} records wait, and the limit is {max_lag}"
    if max_lag_s is not None and lag_s is not None and lag_s >= max_lag_s:
        return status, f"the oldest unread record waits for {lag_s:.0f} s, and the limit is {max_lag_s:.0f} s"
    return None


def _endangered(last: Sample, lag_s: float | None, retention_s: float | None, limits: LagLimits) -> Finding:
    """Records of a segment go together, so the oldest unread one can go before its own time is over."""
    if lag_s is None or not retention_s or lag_s < limits.retention_share * retention_s:
        return None
    left_s = max(0.0, retention_s - lag_s)
    return LagStatus.WARN, f"retention removes the oldest of {last.lag} unread records in {left_s:.0f} s"


def _falls_behind(window: SampleWindow, last: Sample, trend: float) -> Finding:
    """The lag grows, and the group was not up to date lately: a burst that is being worked off is no trend.

    A twentieth of what is written is what the rhythm of commits can make of a group that keeps up.
    """
    if trend <= 0 or window.since_low_s < window.span_s / 3 or trend < window.written_per_s / 20:
        return None
    return LagStatus.WARN, f"falls behind by {trend:.1f} of {window.written_per_s:.1f} records/s: {last.lag} wait"


def _takes_long(window: SampleWindow, eta_s: float | None, limits: LagLimits) -> Finding:
    if limits.warn_eta_s is None or window.span_s < limits.trend_after_s:
        return None
    if eta_s is None:
        return LagStatus.WARN, "does not get on: its lag does not fall"
    if eta_s > limits.warn_eta_s:
        return LagStatus.WARN, f"has caught up in {eta_s:.0f} s only, and the limit is {limits.warn_eta_s:.0f} s"
    return None
