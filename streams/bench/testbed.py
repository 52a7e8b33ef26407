"""Where benchmarks run: the configured or local Kafka and Redis, topics of one run, real processes of ours."""

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from infra.kafka.clients import admin
from infra.kafka.group_offsets import GroupOffsets
from infra.kafka.publisher import Publisher
from infra.kafka.reader import Reader
from infra.kafka.records import ConsumedRecord
from infra.kafka.sender import OutRecord, send_wait
from infra.kafka.spans import Span
from infra.kafka.topic_admin import ensure_topics
from infra.kafka.topics import TopicNames, specs
from infra.local import stack
from infra.local.home import find_ports
from infra.local.state import read_state
from infra.settings import Settings, home, load_settings
from schemas import codec, records
from schemas.errors import SightlineError

READY_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 15.0
POLL_S = 0.1
ASK_TIMEOUT_S = 10.0
ASK_EVERY_S = 0.5  # each question costs the broker, which shares the cores that are measured


@dataclass(frozen=True)
class Lab:
    """One run's topics; `settings` and `env` speak of the same ones."""

    settings: Settings
    env: dict[str, str]

    @property
    def topics(self) -> TopicNames:
        return TopicNames.for_lane(self.settings.topic_prefix)

    def publish(self, frames: Iterable[records.Frame]) -> int:
        """Write all frames and wait until they are acknowledged; how many."""
        count = 0
        publisher = Publisher(self.settings)
        for frame in frames:
            value, timestamp_ms = codec.encode(frame), frame.captured_at // 1000
            send_wait(publisher, OutRecord(self.topics.frames, frame.source_id, value, timestamp_ms=timestamp_ms))
            count += 1
        _close(publisher)
        return count

    def publish_batches(self, batches: Iterable[records.MicroBatch]) -> None:
        """Write micro-batches to the partitions that they are for, and wait until they are acknowledged."""
        publisher = Publisher(self.settings)
        for batch in batches:
            key, value = str(batch.source_partition), codec.encode(batch)
            send_wait(publisher, OutRecord(self.topics.batches, key, value, partition=batch.source_partition))
        _close(publisher)

    def spans(self, topic: str) -> list[Span]:
        """What the topic holds now, by partition in order."""
        with Reader(self.settings) as reader:
            return reader.spans(topic)

    def written(self, topic: str) -> int:
        """How many records the topic holds."""
        return sum(len(span) for span in self.spans(topic))

    def rewind(self, group_id: str, topic: str) -> None:
        """Let a group, which has no member now, begin again with the topic's first record."""
        client = admin(self.settings)  # kept until its answers are here
        places = [TopicPartition(*span.topic_partition, span.start) for span in self.spans(topic)]
        for future in client.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group_id, places)]).values():
            future.result(ASK_TIMEOUT_S)

    def batch_events(self) -> list[tuple[float, int]]:
        """(time in s, frames) of every micro-batch written."""
        return [
            (record.timestamp_ms / 1000, len(codec.decode(records.MicroBatch, record.value).items))
            for record in self._records(self.topics.batches)
        ]

    def labels(self, spans: Sequence[Span] | None = None) -> list[records.Label]:
        """Those that lie there, or all."""
        return [codec.decode(records.Label, record.value) for record in self._records(self.topics.labels, spans)]

    @contextmanager
    def stage(self, *words: str, **variables: str) -> Iterator["Stage"]:
        """A process of ours, ready; stopped by SIGTERM at the end."""
        stage = Stage(words, {**self.env, **variables})
        try:
            stage.wait_ready()
            yield stage
        finally:
            stage.stop()

    def wait_for(self, topic: str, count: int, stages: Sequence["Stage"], timeout_s: float) -> None:
        """Until the topic holds `count` records; raises when a stage ended or the time is over."""
        until_s = time.monotonic() + timeout_s
        with Reader(self.settings) as reader:
            while sum(len(span) for span in reader.spans(topic)) < count:
                for stage in stages:
                    stage.check()
                if time.monotonic() > until_s:
                    raise SightlineError(
                        f"{topic} holds {self.written(topic)} of {count} records after {timeout_s:g} s"
                    )
                time.sleep(POLL_S)

    def wait_consumed(self, group: str, count: int, stage: "Stage", timeout_s: float) -> None:
        """Until the group has committed `count` of the frames; raises when the stage ended or the time is over."""
        until_s = time.monotonic() + timeout_s
        offsets = GroupOffsets(self.settings, group, self.topics.frames)
        try:
            while (done := offsets.ask(ASK_TIMEOUT_S).position()) < count:
                stage.check()
                if time.monotonic() > until_s:
                    raise SightlineError(f"{group} committed {done} of {count} frames after {timeout_s:g} s")
                time.sleep(ASK_EVERY_S)
        finally:
            offsets.close()

    def _records(self, topic: str, spans: Sequence[Span] | None = None) -> Iterator[ConsumedRecord]:
        with Reader(self.settings) as reader:
            yield from reader.read(reader.spans(topic) if spans is None else spans)


class Stage:
    """A child process `sightline ...` with its health port."""

    def __init__(self, words: Sequence[str], env: dict[str, str]) -> None:
        self._words = words
        self._port = find_ports(1)[0]
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `stop`
        command = [sys.executable, "-m", "infra.cli", *words, "--http-port", str(self._port)]
        self._process = subprocess.Popen(command, env=env, stdout=self._output, stderr=self._output)

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raises SightlineError with its last words when the process has ended."""
        if self._process.poll() is not None:
            self._output.seek(max(0, self._output.seek(0, os.SEEK_END) - 2000))
            tail = self._output.read().decode(errors="replace")
            raise SightlineError(f"`sightline {' '.join(self._words)}` ended with {self._process.returncode}:\n{tail}")

    def wait_ready(self) -> None:
        until_s = time.monotonic() + READY_TIMEOUT_S
        while not self._is_ready():
            self.check()
            if time.monotonic() > until_s:
                raise SightlineError(f"`sightline {' '.join(self._words)}` is not ready after {READY_TIMEOUT_S:g} s")
            time.sleep(POLL_S)

    def stop(self) -> None:
        """SIGTERM, and no more patience than any process of ours may ask for."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._output.close()

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self._port}/readyz", timeout=2).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


@contextmanager
def services() -> Iterator[None]:
    """Local Kafka and Valkey are started when nothing else is configured and they are not up, and stopped again."""
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
def lab() -> Iterator[Lab]:
    """Fresh topics under a prefix of this run; they are deleted at the end."""
    names = {"SIGHTLINE_TOPIC_PREFIX": f"bench-{uuid.uuid4().hex[:8]}-"}
    env = {**os.environ, **names}
    settings = _settings_with(names)
    ensure_topics(settings)
    try:
        yield Lab(settings, env)
    finally:
        client = admin(settings)  # kept until its answers are here
        for future in client.delete_topics([spec.name for spec in specs(settings)]).values():
            future.result(30)


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


def _close(publisher: Publisher) -> None:
    left = publisher.close(120)
    if left:
        raise SightlineError(f"{left} records were not acknowledged within 120 s")
