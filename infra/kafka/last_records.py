"""Whether a record lies at or behind an offset: no question about offsets tells it from a transaction marker."""

import time
from collections.abc import Mapping
from typing import Any

import confluent_kafka

from infra.kafka import clients
from infra.kafka.errors import FaultKind, failure_of, fault_of
from infra.kafka.group_offsets import ONLY_A_LOOK
from infra.settings import Settings
from schemas.coordinates import TopicPartition

POLL_S = 0.05
_KEYS: clients.Keys = {**ONLY_A_LOOK, "auto.offset.reset": "error", "fetch.wait.max.ms": 10}


class LastRecords:
    """One consumer, made at the first question, in no group. For one thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: confluent_kafka.Consumer | None = None

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()

    def look(self, offsets: Mapping[TopicPartition, int], budget_s: float) -> dict[TopicPartition, bool]:
        """By partition, whether a committed record lies at the offset or behind it; unknown without an answer in time.

        True also where this user may not read. Reads one record of a partition at most. Raises KafkaFailure.
        """
        found: dict[TopicPartition, bool] = {}
        try:
            reader = self._reader()
            end_s = time.monotonic() + budget_s
            reader.assign([confluent_kafka.TopicPartition(*key, offset) for key, offset in offsets.items()])
            while len(found) < len(offsets) and time.monotonic() < end_s:
                message: Any = reader.poll(POLL_S)
                if message is not None:
                    error, key = message.error(), TopicPartition(message.topic() or "", message.partition())
                    is_end = error is not None and fault_of(error).kind is FaultKind.END_OF_PARTITION
                    if key in offsets:
                        found.setdefault(key, not is_end)
            reader.unassign()
        except confluent_kafka.KafkaException as error:
            raise failure_of(error) from error
        return found

    def _reader(self) -> confluent_kafka.Consumer:
        if self._consumer is None:
            # librdkafka wants the name of a group even where none is joined.
            self._consumer = clients.consumer(self._settings, "sightline-lag", **_KEYS)
            # It knows the leaders then: it looks for one that it does not know once a second only.
            self._consumer.list_topics(timeout=self._settings.kafka.start_timeout_ms / 1000)
        return self._consumer
