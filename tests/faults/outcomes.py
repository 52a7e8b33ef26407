"""Outcomes of frames, read from the topics without a consumer group and without any reader of the product."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import confluent_kafka
from confluent_kafka import KafkaError, TopicPartition

from infra.kafka.topics import TopicNames
from schemas import codec, headers
from schemas.coordinates import Coordinates
from schemas.records import Label, Origin

_POLL_S = 0.2
_SILENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """A label or a dead letter. `label` is None for the latter, `reason` and `stage` for the former."""

    source: Coordinates
    replay_id: str | None
    label: Label | None = None
    reason: str | None = None
    stage: str | None = None

    @property
    def from_model(self) -> bool:
        return self.label is not None and self.label.origin is Origin.MODEL


def outcome_of(message: confluent_kafka.Message, names: TopicNames) -> Outcome | None:
    """The outcome in a record of an output topic; None for the marks of `redrive`. Raises for an invalid record."""
    if message.topic() == names.dead:
        found = headers_of(message)
        if headers.redriven_letter(found) is not None:
            return None
        failure = headers.read_failure(found)
        if failure is None:
            raise AssertionError(f"a dead letter without our headers: {found}")
        reason, stage = failure.error_class, failure.stage
        return Outcome(failure.source, headers.replay_id_of(found), None, reason, stage)
    label = codec.decode(Label, message.value())
    return Outcome(label.source, label.replay_id, label)


def headers_of(message: confluent_kafka.Message) -> list[tuple[str, bytes | str | None]]:
    found = message.headers() or []
    return list(found.items()) if isinstance(found, dict) else found


def reader(bootstrap_servers: str) -> confluent_kafka.Consumer:
    return confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "faults-reader",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
            "queued.max.messages.kbytes": 16_384,
            "reconnect.backoff.max.ms": 500,
            "retry.backoff.max.ms": 200,  # as in the product: how soon the client asks for a new leader
            "log_level": 0,
            "error_cb": lambda _error: None,
        }
    )


def read_all(bootstrap_servers: str, topics: list[str]) -> Iterator[confluent_kafka.Message]:
    """Every committed record of these topics up to their present end, in offset order within each partition."""
    consumer = reader(bootstrap_servers)
    try:
        places = _partitions(consumer, topics)
        left = {(place.topic, place.partition) for place in places}
        consumer.assign(places)
        heard_s = time.monotonic()
        while left:
            for message in consumer.consume(500, _POLL_S):
                error = message.error()
                if error is None:
                    heard_s = time.monotonic()
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard((message.topic() or "", message.partition() or 0))
            if time.monotonic() - heard_s > _SILENCE_S:
                raise AssertionError(f"nothing came for {_SILENCE_S:g} s before the end of {sorted(left)}")
    finally:
        consumer.close()


def _partitions(consumer: confluent_kafka.Consumer, topics: list[str]) -> list[TopicPartition]:
    """The partitions of these topics. Waits for them: a new topic is not known to every broker at once."""
    until_s = time.monotonic() + _SILENCE_S
    while True:
        found = consumer.list_topics(timeout=30).topics
        if all(topic in found and found[topic].partitions for topic in topics):
            return [TopicPartition(topic, number, 0) for topic in topics for number in found[topic].partitions]
        if time.monotonic() > until_s:
            raise AssertionError(f"of {topics} the brokers know only {sorted(set(topics) & found.keys())}")
        time.sleep(_POLL_S)


class Watcher:
    """Reads labels and dead letters in a thread, and records when the first outcome of each frame arrived."""

    def __init__(self, bootstrap_servers: str, names: TopicNames) -> None:
        self._names = names
        self._consumer = reader(bootstrap_servers)
        self._consumer.assign(_partitions(self._consumer, [names.labels, names.dead]))
        self._stop = threading.Event()
        self.arrived_s: dict[Coordinates, float] = {}
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._thread.start()

    def wait_for(self, wanted: Callable[[], set[Coordinates]], timeout_s: float) -> set[Coordinates]:
        """Wait until all of them have an outcome; returns those that have none when the time is over."""
        until_s = time.monotonic() + timeout_s
        while missing := {place for place in wanted() if place not in self.arrived_s}:
            if time.monotonic() > until_s or self.error is not None:
                return missing
            time.sleep(_POLL_S)
        return set()

    def abandon(self) -> None:
        self._stop.set()
        self._thread.join(10.0)

    def close(self) -> None:
        """Stop reading. Raises the error that ended the thread, if one did."""
        self.abandon()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                messages = self._consumer.consume(500, _POLL_S)
                now_s = time.monotonic()
                for message in messages:
                    outcome = outcome_of(message, self._names) if message.error() is None else None
                    if outcome is not None:
                        self.arrived_s.setdefault(outcome.source, now_s)
        except BaseException as error:
            self.error = error
        finally:
            self._consumer.close()
