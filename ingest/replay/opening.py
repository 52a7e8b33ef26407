"""Opens what a replay reads, and makes its plan, or says in a sentence why there is none."""

from infra.kafka.clients import bootstrap
from infra.kafka.reader import Reader
from infra.kafka.start_checks import require_topics
from infra.kafka.topics import TopicNames
from infra.process import logs
from infra.process.lifecycle import Stop
from infra.settings import Settings
from ingest.archive.reading import Archive, open_archive
from ingest.replay.history import open_history
from ingest.replay.plan import Found, Planner
from ingest.replay.wish import Wish
from schemas.errors import ArchiveError, Unavailable

log = logs.get(__name__)


def plan_of(settings: Settings, wish: Wish, archive: Archive | None, stop: Stop, *, exact: bool = False) -> Found:
    """Raises SightlineError where there is nothing to replay, or the lane cannot hold it."""
    live, lane = (TopicNames.for_lane(settings.topic_prefix, one) for one in ("live", "replay"))
    require_topics(settings, reads=[live.frames, live.progress], writes=[lane.frames, live.progress])
    with Reader(settings) as reader:
        spans = reader.spans(live.frames)
        history, archived = open_history(settings, live.frames, spans, archive, wish.period, wish.source_glob)
        found = Planner(settings, reader, history, live.frames, archived).plan(wish, stop.is_set, exact=exact)
        room = len(reader.partitions(lane.frames))
    highest = max((one.partition for one in found.plan.partitions), default=0)
    if highest >= room:
        raise Unavailable(
            "Kafka",
            bootstrap(settings),
            f"has {room} partitions of {lane.frames}, and there are frames of the range in partition {highest} of "
            f"{live.frames}: add some (kafka-topics.sh --alter --topic {lane.frames} --partitions {highest + 1})",
            answers=True,
        )
    return found


def find_archive(settings: Settings, url: str | None) -> Archive | None:
    """The archive that is named, or that of the settings where there is one yet. Raises ArchiveError, ConfigError."""
    if url is not None:
        return open_archive(url)
    if not settings.archive.url:
        return None
    try:
        return open_archive(settings.archive.url)
    except ArchiveError as error:
        log.warning("the replay has the topic alone", reason=str(error))
        return None
