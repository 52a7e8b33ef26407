"""The section of the lag monitor: which groups it judges, how often it looks, and from when on a lag matters."""

from typing import Annotated

from pydantic import Field

from infra.settings.base import Positive, Section


class GroupLimits(Section):
    """From when on a lag of a group matters, in records and in seconds; without a limit only the trend counts.

    `allowed_lag`: so many records may always wait.
    """

    allowed_lag: Annotated[int, Field(ge=0)] = 0
    warn_lag: Positive | None = None
    error_lag: Positive | None = None
    warn_lag_s: Positive | None = None
    error_lag_s: Positive | None = None


class LagSettings(Section):
    """`include`, `exclude` and the keys of `groups` are shell patterns of group names.

    The first pattern of `groups` that matches gives a group its limits. `stuck_after_s`: a partition whose records wait
    and whose committed offset has not moved for so long is stopped or stalled. `trend_after_s`: a lag that grows for so
    long is a trend.
    """

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    look_interval_s: Positive = 10
    stuck_after_s: Positive = 60
    trend_after_s: Positive = 120
    groups: dict[str, GroupLimits] = Field(default={"*sightline-*": GroupLimits(warn_lag_s=30, error_lag_s=120)})
