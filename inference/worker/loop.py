"""The poll thread: reads batches, keeps the partitions' book, pauses, settles. It never waits for the device."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import confluent_kafka
from confluent_kafka import KafkaError, TopicPartition

from inference.device.staging import Staging
from inference.device.work import Origin, TopicPartitionKey
from inference.models.base import InputSpec
from inference.worker.delivery.at_least_once import Delivery, topic_partitions
from inference.worker.group.ownership import Ownership
from inference.worker.group.start_offsets import Starts
from inference.worker.intake import read_work
from infra.kafka.clients import Message, is_fatal
from infra.kafka.records import consumed_record
from infra.process import logs, metrics
from infra.process.lifecycle import Deadline, Stop
from schemas import codec, headers
from schemas.errors import Stalled

log = logs.get(__name__)

POLL_S, BUSY_POLL_S = 0.1, 0.02
# Whatever a rebalance takes away is finished within this, or left to the next owner.
REVOKE_BUDGET_S = 5.0
LONGEST_TURN_S = 2 * REVOKE_BUDGET_S


class WorkerLoop:
    """Everything here runs on one thread, rebalance callbacks included: the client calls them from `poll`."""

    def __init__(
        self,
        consumer: confluent_kafka.Consumer,
        topic: str,
        spec: InputSpec,
        staging: Staging,
        ownership: Ownership,
        delivery: Delivery,
        starts: Starts,
        stop: Stop,
        *,
        max_bytes: int,
        max_frames: int,
        registry: codec.Registry | None = None,
    ) -> None:
        self._consumer, self._topic, self._spec, self._registry = consumer, topic, spec, registry
        self._staging, self._ownership, self._delivery = staging, ownership, delivery
        self._starts, self._stop = starts, stop
        self._max_bytes, self._max_frames = max_bytes, max_frames
        self._paused = False
        self._is_closing = False
        self.has_joined = False
        self._work_waits = False
        self._turned_s = time.monotonic()

    def work_waits(self) -> bool:
        """Read and not committed; also a loop that does not come round. For the watchdog's thread."""
        return self._work_waits or time.monotonic() - self._turned_s > LONGEST_TURN_S

    def owned(self) -> frozenset[int]:
        """The numbers of the partitions that are ours. For any thread."""
        return frozenset(number for _, number in self._ownership.places())

    def run(self) -> None:
        """Until `stop`. Raises Stalled when the client or the delivery cannot go on."""
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        while not self._stop.is_set():
            self._work_waits, self._turned_s = self._ownership.has_uncommitted, time.monotonic()
            message = self._consumer.poll(BUSY_POLL_S if self._work_waits else POLL_S)
            if message is not None:
                self._on_message(message)
            now_s = time.monotonic()
            self._start_at(self._starts.found(now_s))
            self._delivery.tick(now_s)
            self._pause_or_resume()

    def close(self, deadline: Deadline, join_pipeline: Callable[[float], None]) -> None:
        """Drop what waits, finish what is on the device as far as the time goes, write, commit, leave the group."""
        self._is_closing = True
        self._staging.drop(self._ownership.places())
        self._staging.close()
        join_pipeline(deadline.remaining_s() / 2)
        self._delivery.close(deadline)

    def rewind(self) -> None:
        """After aborted writes: read all that is not committed again; what is under way of it counts no more."""
        positions = self._ownership.rewind()
        self._staging.drop(positions)
        try:
            for position in topic_partitions(positions):
                self._consumer.seek(position)
        except confluent_kafka.KafkaException as error:
            raise Stalled(f"could not go back to what is committed: {error.args[0].str()}") from error
        log.warning(
            "reading again what was not committed", positions={f"{t}/{p}": o for (t, p), o in positions.items()}
        )

    # -- reading

    def _on_message(self, message: Message) -> None:
        error = message.error()
        if error is None:
            self._accept(message)
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._starts.want((str(message.topic()), int(message.partition() or 0)))
        else:
            self._on_error(error)

    def _start_at(self, positions: list[TopicPartition]) -> None:
        """Read these partitions of ours from there on; what is under way of them counts no more."""
        if not positions:
            return
        places = _keys(positions)
        self._ownership.assign(places)
        self._staging.drop(places)
        try:
            self._consumer.incremental_unassign(positions)  # the client takes a new start in no other way
            self._consumer.incremental_assign(positions)
        except confluent_kafka.KafkaException as error:
            raise Stalled(f"could not start at a committed offset: {error.args[0].str()}") from error
        if self._paused:
            self._consumer.pause(_keys_to_list(places))
        log.info("partitions started", positions={f"{one.topic}/{one.partition}": one.offset for one in positions})

    def _accept(self, message: Message) -> None:
        place = (str(message.topic()), int(message.partition() or 0))
        generation = self._ownership.generation(place)
        if generation is None:
            return  # was on its way while the partition was taken from us
        work = read_work(_origin(message, generation), message.value(), self._spec, self._registry)
        self._ownership.start(work)
        self._staging.put(work)

    def _on_error(self, error: KafkaError) -> None:
        if is_fatal(error):
            raise Stalled(f"the Kafka consumer cannot go on: {error.str()}")
        if error.code() == KafkaError._MAX_POLL_EXCEEDED:
            # We are out of the group, whatever is announced to us later.
            self._lose(self._ownership.places())
        log.warning("kafka consumer error", error=error.str(), code=error.name())

    def _pause_or_resume(self) -> None:
        """Full at the limits, open again under half of them: each pause throws away what was fetched ahead."""
        bytes_held, frames_open = self._staging.size_bytes, self._ownership.open_frames
        if not self._paused and (bytes_held >= self._max_bytes or frames_open >= self._max_frames):
            self._paused = True
            self._consumer.pause(_keys_to_list(self._ownership.places()))
        elif self._paused and bytes_held <= self._max_bytes // 2 and frames_open <= self._max_frames // 2:
            self._paused = False
            self._consumer.resume(_keys_to_list(self._ownership.places()))
        metrics.PAUSED.labels("device").set(self._paused)
        metrics.FRAMES_OPEN.set(frames_open)

    # -- rebalances

    def _on_assign(self, consumer: confluent_kafka.Consumer, partitions: list[TopicPartition]) -> None:
        places = _keys(partitions)
        self._ownership.assign(places)
        consumer.incremental_assign(partitions)
        # The client remembers a pause over revocation and return: what was paused then would never be read again.
        (consumer.pause if self._paused else consumer.resume)(_keys_to_list(places))
        self.has_joined = True
        log.info("partitions assigned", partitions=sorted(number for _, number in places))

    def _on_revoke(self, consumer: confluent_kafka.Consumer, partitions: list[TopicPartition]) -> None:
        """Nothing more of them reaches the device; what is there already is finished, written and committed in time."""
        places = _keys(partitions)
        dropped = self._staging.drop(places)
        if not self._is_closing:  # then that was done already
            awaited = [work for work in self._ownership.open_work(places) if work not in dropped]
            self._delivery.finish(awaited, Deadline(REVOKE_BUDGET_S))
        self._ownership.forget(places)
        self._starts.forget(places)
        consumer.incremental_unassign(partitions)
        log.info("partitions revoked", partitions=sorted(number for _, number in places), dropped=len(dropped))

    def _on_lost(self, consumer: confluent_kafka.Consumer, partitions: list[TopicPartition]) -> None:
        """Somebody else may own them already: not a word about them any more."""
        places = _keys(partitions)
        self._lose(places)
        consumer.incremental_unassign(partitions)

    def _lose(self, places: Iterable[TopicPartitionKey]) -> None:
        lost = list(places)
        self._ownership.forget(lost)
        self._starts.forget(lost)
        self._staging.drop(lost)
        log.warning("partitions lost", partitions=sorted(number for _, number in lost))


def _origin(message: Message, generation: int) -> Origin:
    record = consumed_record(message)
    return Origin(
        record.topic,
        record.partition,
        record.offset,
        generation,
        record.timestamp_ms,
        record.key,
        tuple(headers.to_map(record.headers).items()),
        headers.attempt_of(record.headers),
        headers.replay_id_of(record.headers),
    )


def _keys(partitions: Iterable[TopicPartition]) -> list[TopicPartitionKey]:
    return [(place.topic, place.partition) for place in partitions]


def _keys_to_list(places: Iterable[TopicPartitionKey]) -> list[Any]:
    return [TopicPartition(*place) for place in places]
