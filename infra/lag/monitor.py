"""The lag monitor: look at the cluster, remember, judge. One pass is `LagMonitor.look`."""

import fnmatch
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

from infra.kafka.listed import matches
from infra.kafka.topics import Lane, TopicNames, group
from infra.lag.ages import Ages
from infra.lag.cluster import Cluster
from infra.lag.history import LagHistory
from infra.lag.look import ClusterLook
from infra.lag.markers import Markers
from infra.lag.reports import GroupReport
from infra.lag.rules.burrow_store import BurrowStore
from infra.lag.rules.evaluate import LagLimits
from infra.settings import GroupLimits, LagSettings, Settings


def stage_groups(prefix: str, lane: Lane = "live") -> dict[str, str]:
    """The groups of our own stages, which always have to be there, with the topics that they read."""
    names = TopicNames.for_lane(prefix, lane)
    return {group("stream", prefix, lane): names.frames, group("infer", prefix, lane): names.batches}


def pipeline_patterns(prefix: str) -> list[str]:
    """The patterns of the groups of our own pipeline."""
    return [f"{prefix}sightline-*"]


class LagMonitor:
    """Use as a context manager, from one thread."""

    def __init__(
        self,
        settings: Settings,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        expected: dict[str, str] | None = None,
        *,
        all_topics: bool = False,
    ) -> None:
        """`include` and `exclude`: shell patterns of group names; without them, those of the settings.

        `expected` and `all_topics`: see `infra.lag.cluster.Cluster`.
        """
        lag = settings.lag
        self._patterns = include or lag.include, exclude or lag.exclude
        self._cluster = Cluster(settings, *self._patterns, expected, all_topics=all_topics)
        self._markers = Markers(settings)
        self._ages = Ages(self._cluster.logs)
        self._history = LagHistory(lambda name: limits_of(name, lag), lambda name: _group_limits(name, lag).allowed_lag)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.close()
        self._markers.close()

    def looks_at(self, group: str) -> bool:
        """Whether the patterns choose the group."""
        return matches(group, *self._patterns)

    @property
    def store(self) -> BurrowStore:
        """What Burrow would keep."""
        return self._history.store

    def look(self) -> list[GroupReport]:
        """One pass over all groups. Raises Unavailable or KafkaFailure when the cluster does not answer."""
        look = self.ask()
        self.add(look)
        return self.judge(look)

    def ask(self) -> ClusterLook:
        """The first step of a pass: ask the cluster."""
        look = self._cluster.look()
        return replace(look, bare=self._markers.bare(look))

    def add(self, look: ClusterLook, *, takes_commits: bool = True) -> None:
        """The second step: remember. `takes_commits`: Burrow's commits come from looks, and not from elsewhere."""
        self._history.takes_commits = takes_commits
        self._history.add(look)

    def judge(self, look: ClusterLook) -> list[GroupReport]:
        """The last step: ask for the ages of what waits, and judge."""
        return self._history.judge(look, self._ages.look(self._history.unread(look), look.wall_ms))


def limits_of(name: str, settings: LagSettings) -> LagLimits:
    """The limits of the group with that name. Pure."""
    found = _group_limits(name, settings)
    return LagLimits(
        warn_lag=found.warn_lag,
        error_lag=found.error_lag,
        warn_lag_s=found.warn_lag_s,
        error_lag_s=found.error_lag_s,
        stuck_after_s=settings.stuck_after_s,
        trend_after_s=settings.trend_after_s,
        warn_eta_s=found.warn_eta_s,
    )


def _group_limits(name: str, settings: LagSettings) -> GroupLimits:
    matching = (limits for pattern, limits in settings.groups.items() if fnmatch.fnmatchcase(name, pattern))
    return next(matching, GroupLimits())
