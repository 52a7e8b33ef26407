"""The section of the lag monitor: which groups it judges, how often it looks, and from when on a lag matters."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr, model_validator

from infra.settings.base import Positive, Section


class GroupLimits(Section):
    """From when on a lag of a group matters, in records and in seconds; without a limit only the trend counts.

    `allowed_lag`: so many records may always wait. `warn_eta_s`: of a group that is late on purpose; it is judged by
    the time until it has caught up.
    """

    allowed_lag: Annotated[int, Field(ge=0)] = 0
    warn_lag: Positive | None = None
    error_lag: Positive | None = None
    warn_lag_s: Positive | None = None
    error_lag_s: Positive | None = None
    warn_eta_s: Positive | None = None


class NotifySettings(Section):
    """One way to tell people, an entry of `[[lag.notify]]`.

    `url`: of the webhook; of e-mail, smtp://HOST:PORT or smtps://. `secret`: a bearer token, PagerDuty's routing key,
    or the mail user's password. `threshold`: the state from which on an incident opens. `repeat_s`: an open incident
    is told again after so long; 0: only once. `close_after_s`: an incident closes when its group was OK for so long.
    """

    kind: Literal["webhook", "slack", "email", "pagerduty"]
    name: str = ""
    url: SecretStr = SecretStr("")
    secret: SecretStr = SecretStr("")
    user: str = ""
    sender: str = "sightline@localhost"
    receivers: tuple[str, ...] = ()
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    threshold: Literal["WARN", "ERR"] = "WARN"
    repeat_s: Annotated[int, Field(ge=0)] = 3600
    send_close: bool = True
    close_after_s: Annotated[int, Field(ge=0)] = 60

    @model_validator(mode="after")
    def _is_complete(self) -> "NotifySettings":
        url = self.url.get_secret_value()
        schemes = ("smtp://", "smtps://") if self.kind == "email" else ("http://", "https://")
        if (url or self.kind != "pagerduty") and not url.startswith(schemes):
            raise ValueError(f"url of a {self.kind} notification must begin with {' or '.join(schemes)}")
        if self.kind == "email" and not self.receivers:
            raise ValueError("receivers of an email notification are missing")
        if self.kind == "pagerduty" and not self.secret.get_secret_value():
            raise ValueError("secret of a pagerduty notification is missing: the routing key of the integration")
        return self


class LagSettings(Section):
    """`include`, `exclude` and the keys of `groups` are shell patterns of group names.

    The first pattern of `groups` that matches gives a group its limits. `stuck_after_s`: a partition whose records wait
    and whose committed offset has not moved for so long is stopped or stalled. `trend_after_s`: a lag that grows for so
    long is a trend. `cluster`: the name in answers and metrics. `families`: the metric names of which other exporters
    are served. `reads_commits`: read `__consumer_offsets` where this user may, for Burrow's states as Burrow has them.
    """

    cluster: str = "local"
    families: tuple[Literal["lag-exporter", "kafka-exporter", "burrow"], ...] = (
        "lag-exporter",
        "kafka-exporter",
        "burrow",
    )
    reads_commits: bool = True

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    look_interval_s: Positive = 10
    stuck_after_s: Positive = 60
    trend_after_s: Positive = 120
    groups: dict[str, GroupLimits] = Field(
        default={
            "*sightline-*-replay": GroupLimits(warn_eta_s=86_400),
            "*sightline-*": GroupLimits(warn_lag_s=30, error_lag_s=120),
        }
    )
    notify: tuple[NotifySettings, ...] = ()
