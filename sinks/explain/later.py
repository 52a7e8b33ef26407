"""What replays made of a frame, long after its own outcome: their labels, and the corrections that were promoted."""

from collections.abc import Callable, Iterable

from infra.kafka.reader import Reader
from infra.replay.progress import Replays
from schemas.codec import Registry
from schemas.coordinates import Coordinates
from schemas.headers import replay_id_of
from schemas.replays import ReplayProgress
from sinks.explain.found import Matcher
from sinks.explain.search import MARGIN_US, SearchCut


def covering(reader: Reader, topic: str, place: Coordinates, registry: Registry | None) -> list[ReplayProgress]:
    """The replays whose range holds that place, by the topic `replay.progress`."""
    found = Replays(registry)
    for record in reader.read(reader.spans(topic)):
        found.add(record)
    return [replay for replay in found.progress.values() if _holds(replay, place)]


def _holds(replay: ReplayProgress, place: Coordinates) -> bool:
    return any(
        part.topic_partition == place.topic_partition and part.from_offset <= place.offset < part.to_offset
        for part in replay.plan.partitions
    )


def read_later(
    reader: Reader, matcher: Matcher, topics: Iterable[str], replays: list[ReplayProgress], stop: Callable[[], bool]
) -> None:
    """Give the matcher every label with a replay id written since the first of these replays. Raises SearchCut."""
    if not replays:
        return
    since_us = min(replay.started_at for replay in replays) - MARGIN_US
    for record in reader.read([span for topic in topics for span in reader.spans(topic, since_us)], stop):
        if replay_id_of(record.headers) is not None:
            matcher.take(record)
    if stop():
        raise SearchCut
