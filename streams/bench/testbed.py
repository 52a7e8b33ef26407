"""Where benchmarks run: the configured Kafka and Redis or local ones, topics of one run, real `sightline` processes."""

import os
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.kafka.group_offsets import GroupOffsets, set_group_offsets
from infra.kafka.publisher import Publisher
from infra.kafka.reader import Reader
from infra.kafka.records import ConsumedRecord
from infra.kafka.sender import OutRecord, send_wait
from infra.kafka.spans import Span
from infra.kafka.topic_admin import delete_topics, ensure_topics
from infra.kafka.topics import TopicNames
from infra.local import stack
from infra.local.state import read_state
from infra.process.lifecycle import Deadline
from infra.process.supervise import Child, ready_child
from infra.settings import Settings, home, load_settings
from schemas import codec, records
from schemas.errors import SightlineError

READY_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 15.0
POLL_S = 0.1
ASK_TIMEOUT_S = 10.0
ASK_EVERY_S = 0.5  # each question costs the broker CPU time, on the cores that are measured
ACKNOWLEDGE_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Testbed:
    """The topics of one run, and processes that work on them.

    `variables` names these topics to a child process, as `settings` does to this one; `logs` is a folder.
    """

    settings: Settings
    variables: dict[str, str]
    logs: Path

    @property
    def topics(self) -> TopicNames:
        return TopicNames.for_lane(self.settings.topic_prefix)

    def publish(self, frames: Iterable[records.Frame]) -> int:
        """Write all frames and wait until they are acknowledged; returns how many."""
        topic = self.topics.frames
        return self.write(
            OutRecord(topic, frame.source_id, codec.encode(frame), timestamp_ms=frame.captured_at // 1000)
            for frame in frames
        )

    def publish_batches(self, batches: Iterable[records.MicroBatch]) -> None:
        """Write micro-batches to the partitions that they name, and wait until they are acknowledged."""
        topic = self.topics.batches
        self.write(
            OutRecord(topic, str(batch.source_partition), codec.encode(batch), partition=batch.source_partition)
            for batch in batches
        )

    def spans(self, topic: str) -> list[Span]:
        """The offsets that the topic holds now, by partition in order."""
        with Reader(self.settings) as reader:
            return reader.spans(topic)

    def written(self, topic: str) -> int:
        """How many records the topic holds."""
        return sum(len(span) for span in self.spans(topic))

    def rewind(self, group_id: str, topic: str) -> None:
        """Let a group that has no member now start again at the topic's first record."""
        starts = {span.topic_partition: span.start for span in self.spans(topic)}
        set_group_offsets(self.settings, group_id, starts, ASK_TIMEOUT_S)

    def batch_events(self) -> list[tuple[float, int]]:
        """(time in s, frames) of every micro-batch that was written."""
        return [
            (record.timestamp_ms / 1000, len(codec.decode(records.MicroBatch, record.value).items))
            for record in self._records(self.topics.batches)
        ]

    def labels(self, spans: Sequence[Span] | None = None) -> list[records.Label]:
        """The labels in these spans; without spans, all labels."""
        return [codec.decode(records.Label, record.value) for record in self._records(self.topics.labels, spans)]

    def stage(self, *words: str, **variables: str) -> AbstractContextManager[Child]:
        """A block in which `sightline WORDS` runs and is ready: `stream` or `infer`, with environment variables."""
        log = self.logs / f"{words[0]}.log"
        return ready_child(words, log, {**self.variables, **variables}, READY_TIMEOUT_S, STOP_TIMEOUT_S)

    def wait_for(self, topic: str, count: int, stages: Sequence[Child], timeout_s: float) -> None:
        """Until the topic holds `count` records. Raises when a stage ended or the time is over."""
        deadline = Deadline(timeout_s)
        with Reader(self.settings) as reader:
            while (held := sum(len(span) for span in reader.spans(topic))) < count:
                for stage in stages:
                    stage.check()
                if deadline.expired():
                    raise SightlineError(f"{topic} holds {held} of {count} records after {timeout_s:g} s")
                time.sleep(POLL_S)

    def wait_consumed(self, group_id: str, count: int, stage: Child, timeout_s: float) -> None:
        """Until the group has committed `count` frames. Raises when the stage ended or the time is over."""
        deadline = Deadline(timeout_s)
        offsets = GroupOffsets(self.settings, group_id, self.topics.frames)
        try:
            while (done := offsets.ask(ASK_TIMEOUT_S).position()) < count:
                stage.check()
                if deadline.expired():
                    raise SightlineError(f"{group_id} committed {done} of {count} frames after {timeout_s:g} s")
                time.sleep(ASK_EVERY_S)
        finally:
            offsets.close()

    def write(self, out_records: Iterable[OutRecord]) -> int:
        """Write all records and wait until they are acknowledged; returns how many."""
        count = 0
        publisher = Publisher(self.settings)
        for record in out_records:
            send_wait(publisher, record)
            count += 1
        left = publisher.close(ACKNOWLEDGE_TIMEOUT_S)
        if left:
            raise SightlineError(f"{left} records were not acknowledged within {ACKNOWLEDGE_TIMEOUT_S:g} s")
        return count

    def _records(self, topic: str, spans: Sequence[Span] | None = None) -> Iterator[ConsumedRecord]:
        with Reader(self.settings) as reader:
            yield from reader.read(reader.spans(topic) if spans is None else spans)


@contextmanager
def services() -> Iterator[None]:
    """A block in which Kafka and Valkey run: local ones are started, and stopped again, where nothing else is there."""
    state = read_state(home())
    start = not os.environ.get("SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS") and not (state and state.pids)
    if start:
        stack.up(home())
    try:
        yield
    finally:
        if start:
            stack.down(home())


@contextmanager
def testbed(**more: str) -> Iterator[Testbed]:
    """A testbed with empty topics under a prefix of its own; the topics are deleted at the end of the block.

    `more`: further environment variables.
    """
    variables = {"SIGHTLINE_TOPIC_PREFIX": f"bench-{uuid.uuid4().hex[:8]}-", **more}
    settings = _settings_with(variables)
    ensure_topics(settings)
    try:
        with tempfile.TemporaryDirectory(prefix="sightline-bench-") as logs:
            yield Testbed(settings, variables, Path(logs))
    finally:
        delete_topics(settings)


def _settings_with(variables: dict[str, str]) -> Settings:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        return load_settings()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
