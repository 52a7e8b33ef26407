"""What a panel and a dashboard are, and the queries that panels have in common. Pure data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

RATE = "$__rate_interval"


@dataclass(frozen=True, slots=True)
class Panel:
    """`queries`: PromQL and the legend of its series. `unit`: Grafana's name of it. `text`: what to make of it.

    `kind`: Grafana's name of it; a `heatmap` has one query, of the buckets of a histogram.
    """

    title: str
    unit: str
    queries: Sequence[tuple[str, str]]
    text: str = ""
    kind: str = "timeseries"


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard. `variables`: choices at its head, by name, with Grafana's query of their values."""

    name: str
    title: str
    panels: Sequence[Panel]
    variables: Mapping[str, str] = field(default_factory=dict)


def rate(metric: str, by: str = "", where: str = "") -> str:
    """Events a second, summed by those labels."""
    return f"sum{f' by ({by})' if by else ''}(rate({metric}{{{where}}}[{RATE}]))".replace("{}", "")


def share(metric: str, where: str, by: str = "") -> str:
    """The part of a counter's events that `where` chooses."""
    return f"{rate(metric, by, where)} / {rate(metric, by)}"


def quantile(share: float, metric: str, by: str = "", where: str = "") -> str:
    """A quantile of a histogram."""
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', f'le, {by}' if by else 'le', where)})"
