"""What all processes said last."""

from dataclasses import replace

from infra.kafka.reader import Reader
from infra.kafka.records import ConsumedRecord
from infra.kafka.topics import Lane, TopicNames
from infra.process import logs
from infra.settings import Settings
from schemas.codec import Registry, decode
from schemas.coordinates import TopicPartition
from schemas.errors import BadFrame
from schemas.records import Micros, ProcessStatus

log = logs.get(__name__)

# A process that has said nothing for so long is not there: three reports and a little.
SILENT_US = 20_000_000
MAX_PROCESSES = 100_000


class Statuses:
    """The last word of each process, from the records of the topic in their order. Bounded in number."""

    def __init__(self, registry: Registry | None = None) -> None:
        self._registry = registry
        self._last: dict[str, ProcessStatus] = {}

    def add(self, record: ConsumedRecord) -> None:
        """Take a record into account. One of a later version of the schema, or of somebody else, is left out."""
        process_id = (record.key or b"").decode(errors="replace")
        if record.value is None:
            self._last.pop(process_id, None)
            return
        try:
            status = decode(ProcessStatus, record.value, self._registry)
        except BadFrame as error:
            log.debug("a status is left out", process_id=process_id, error=str(error))
            return
        if process_id in self._last or len(self._last) < MAX_PROCESSES:
            self._last[process_id] = status

    def alive(self, now: Micros, lane: Lane = "live") -> list[ProcessStatus]:
        """What the processes said that are there; the others are forgotten."""
        self._last = {name: status for name, status in self._last.items() if now - status.at <= SILENT_US}
        return [status for status in self._last.values() if status.lane == lane]


class StatusTopic:
    """Reads the topic on at each look; from one thread."""

    def __init__(self, settings: Settings, reader: Reader, registry: Registry | None = None) -> None:
        self._topic = TopicNames.for_lane(settings.topic_prefix).status
        self._reader = reader
        self._statuses = Statuses(registry)
        self._ends: dict[TopicPartition, int] = {}

    def look(self, now: Micros, lane: Lane = "live") -> list[ProcessStatus]:
        """What the processes say that are there.

        Raises Unavailable when there is no such topic, or this user may not read it.
        """
        spans = self._reader.spans(self._topic)
        new = [replace(span, start=max(span.start, self._ends.get(span.topic_partition, 0))) for span in spans]
        for record in self._reader.read(new):
            self._statuses.add(record)
        self._ends = {span.topic_partition: span.end for span in spans}
        return self._statuses.alive(now, lane)
