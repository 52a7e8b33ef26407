"""The topic `replay.progress`: the newest word of each replay, and what the copiers are asked to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from infra.kafka.clients import bootstrap
from infra.kafka.publisher import Publisher
from infra.kafka.reader import Reader
from infra.kafka.records import ConsumedRecord
from infra.kafka.schema_registry import registry_of
from infra.kafka.sender import OutRecord, send_wait
from infra.kafka.topics import TopicNames
from infra.process import logs
from infra.process.times import now_us
from infra.settings import Settings
from schemas.codec import Registry, decode, encode
from schemas.coordinates import TopicPartition
from schemas.errors import BadFrame, ConfigError, Stalled, Unavailable
from schemas.replays import ReplayAction, ReplayProgress, ReplayRequest, ReplayState

log = logs.get(__name__)

# Replay ids hold no slash, so no id is the key of another one's request.
REQUEST = "/request"
WRITE_S = 30.0


class Replays:
    """The last word of each replay, and the request to its copier, from the records of the topic in their order."""

    def __init__(self, registry: Registry | None = None) -> None:
        self._registry = registry
        self.progress: dict[str, ReplayProgress] = {}
        self.requests: dict[str, ReplayRequest] = {}
        # Where each replay said that it runs: of two that say so at once, the first has the lane.
        self.taken_at: dict[str, int] = {}

    def add(self, record: ConsumedRecord) -> None:
        """Take a record into account. One of a later version of the schema, or of somebody else, is left out."""
        key = (record.key or b"").decode(errors="replace")
        replay_id = key.removesuffix(REQUEST)
        if record.value is None:
            (self.requests if key.endswith(REQUEST) else self.progress).pop(replay_id, None)
            return
        try:
            if key.endswith(REQUEST):
                self.requests[replay_id] = decode(ReplayRequest, record.value, self._registry)
            else:
                progress = self.progress[replay_id] = decode(ReplayProgress, record.value, self._registry)
                if progress.state in (ReplayState.STARTED, ReplayState.RESUMED):
                    self.taken_at[replay_id] = record.offset
        except BadFrame as error:
            log.warning("a record of replay.progress is left out", key=key, error=str(error))


class ProgressTopic:
    """Reads the topic on at each look; from one thread."""

    def __init__(self, settings: Settings, reader: Reader, registry: Registry | None = None) -> None:
        self._topic = TopicNames.for_lane(settings.topic_prefix).progress
        self._reader = reader
        self._replays = Replays(registry)
        self._ends: dict[TopicPartition, int] = {}

    def look(self) -> Replays:
        """All replays as of now. Raises Unavailable when there is no such topic, or this user may not read it."""
        spans = self._reader.spans(self._topic)
        new = [replace(span, start=max(span.start, self._ends.get(span.topic_partition, 0))) for span in spans]
        for record in self._reader.read(new):
            self._replays.add(record)
        self._ends = {span.topic_partition: span.end for span in spans}
        return self._replays


@contextmanager
def progress_topic(settings: Settings) -> Iterator[ProgressTopic]:
    """The topic, opened for looks at it."""
    registry = registry_of(settings)
    with Reader(settings) as reader:
        yield ProgressTopic(settings, reader, registry)
    if registry is not None:
        registry.close()


def read_all(settings: Settings) -> dict[str, ReplayProgress]:
    """Every replay by its id, as it is now. Raises Unavailable."""
    with progress_topic(settings) as topic:
        return dict(topic.look().progress)


def read(settings: Settings, replay_id: str) -> ReplayProgress:
    """One replay as it is now. Raises ConfigError, naming those that there are, for an id that is not known."""
    return known(read_all(settings), replay_id)


def known(found: dict[str, ReplayProgress], replay_id: str) -> ReplayProgress:
    """The replay of that id. Raises ConfigError as `read`."""
    if replay_id in found:
        return found[replay_id]
    newest = sorted(found.values(), key=lambda one: -one.started_at)[:10]
    there = f"there are {', '.join(one.replay_id for one in newest)}" if newest else "there is none"
    raise ConfigError(f"there is no replay {replay_id!r}: {there} (`sightline replay list`)")


def progress_record(settings: Settings, progress: ReplayProgress, registry: Registry | None) -> OutRecord:
    topic = TopicNames.for_lane(settings.topic_prefix).progress
    return OutRecord(topic, progress.replay_id, encode(progress, registry, topic))


def request_record(settings: Settings, replay_id: str, action: ReplayAction, registry: Registry | None) -> OutRecord:
    topic = TopicNames.for_lane(settings.topic_prefix).progress
    value = encode(ReplayRequest(replay_id, action, now_us()), registry, topic)
    return OutRecord(topic, replay_id + REQUEST, value)


def forget_records(settings: Settings, replay_id: str) -> list[OutRecord]:
    """What removes the replay and the request to its copier from the topic."""
    topic = TopicNames.for_lane(settings.topic_prefix).progress
    return [OutRecord(topic, replay_id, None), OutRecord(topic, replay_id + REQUEST, None)]


def write(settings: Settings, records: list[OutRecord]) -> None:
    """Write records to the topic, without a transaction. Raises Unavailable when the broker does not take them."""
    failed: list[str] = []
    publisher = Publisher(settings)
    try:
        for record in records:
            told = replace(
                record, on_delivery=lambda report: failed.append(str(report.fault)) if report.fault else None
            )
            send_wait(publisher, told)
        left = publisher.close(WRITE_S)
    except Stalled as error:
        raise Unavailable("Kafka", bootstrap(settings), str(error)) from error
    if failed or left:
        reason = failed[0] if failed else f"it did not acknowledge a record within {WRITE_S:g} s"
        raise Unavailable("Kafka", bootstrap(settings), f"did not take the state of the replay: {reason}", answers=True)
