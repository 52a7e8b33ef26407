"""The metrics of this process as text: in the format that was asked for, with the labels that all series have."""

from collections.abc import Iterable, Mapping

from prometheus_client import REGISTRY, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

OURS = "sightline_"


class WithLabels(Collector):
    """The metrics of another collector; ours have these labels as well, except where they have their own value."""

    def __init__(self, collector: Collector, labels: Mapping[str, str]) -> None:
        self._collector, self._labels = collector, dict(labels)

    def collect(self) -> Iterable[Metric]:
        for family in self._collector.collect():
            if family.name.startswith(OURS):
                family.samples = [one._replace(labels={**self._labels, **one.labels}) for one in family.samples]
            yield family


def exposition(accept: str, labels: Mapping[str, str], collector: Collector = REGISTRY) -> tuple[bytes, str]:
    """The text and its content type. OpenMetrics, which has exemplars, where `accept` asks for it."""
    encode, content_type = choose_encoder(accept)
    return encode(WithLabels(collector, labels)), content_type
