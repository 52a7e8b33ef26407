"""Where the logs of many partitions begin and end, and which record has which timestamp. Describe rights are enough."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import confluent_kafka
from confluent_kafka import IsolationLevel
from confluent_kafka.admin import AdminClient, OffsetSpec

from infra.kafka import clients
from infra.kafka.errors import FaultKind, KafkaFailure, fault_of
from infra.kafka.listed import ClusterTopics, LogEnds, PartitionPlace
from infra.settings import Settings
from schemas.coordinates import TopicPartition

_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Answers:
    """The offsets and timestamps (-1: none) that were answered. `gone`: partitions that do not exist. `failed`: why."""

    found: dict[TopicPartition, tuple[int, int]]
    gone: set[TopicPartition]
    failed: dict[TopicPartition, str]


class LogLookup:
    """For one thread. A partition that cannot be looked at is left out and told apart: it does not stop the others."""

    def __init__(self, settings: Settings) -> None:
        self._admin: AdminClient = clients.admin(settings)
        self._timeout_s = settings.kafka.start_timeout_ms / 1000

    def topics(self) -> ClusterTopics:
        """The topics that this user may see, and the brokers. Raises KafkaFailure."""
        try:
            found = self._admin.list_topics(timeout=self._timeout_s)
        except confluent_kafka.KafkaException as error:
            raise KafkaFailure(fault_of(error.args[0])) from error
        topics = {
            name: {
                number: PartitionPlace(place.leader, tuple(place.replicas), tuple(place.isrs))
                for number, place in topic.partitions.items()
            }
            for name, topic in found.topics.items()
        }
        return ClusterTopics(topics, {one.id: f"{one.host}:{one.port}" for one in found.brokers.values()})

    def ends(self, partitions: Iterable[TopicPartition]) -> tuple[dict[TopicPartition, LogEnds], Answers]:
        """The ends of the partitions that exist, and the last answers, for what is gone or failed.

        The ends are asked for last, so that none lies before an offset that was committed before the call.
        """
        starts = self._ask(dict.fromkeys(partitions, _EARLIEST))
        stable = self._ask(dict.fromkeys(starts.found, _LATEST))
        ends = self._ask(dict.fromkeys(stable.found, _LATEST), IsolationLevel.READ_UNCOMMITTED)
        gone = starts.gone | stable.gone | ends.gone
        failed = starts.failed | stable.failed | ends.failed
        return {
            one: LogEnds(starts.found[one][0], stable.found[one][0], end) for one, (end, _) in ends.found.items()
        }, Answers({}, gone, failed)

    def first_at(self, timestamps_ms: Mapping[TopicPartition, int]) -> Answers:
        """The first record of each partition with that timestamp or a later one: its offset and timestamp."""
        return self._ask({one: OffsetSpec.for_timestamp(at_ms) for one, at_ms in timestamps_ms.items()})

    def _ask(
        self, wanted: Mapping[TopicPartition, OffsetSpec], isolation: IsolationLevel = IsolationLevel.READ_COMMITTED
    ) -> Answers:
        answers = Answers({}, set(), {})
        if not wanted:
            return answers
        request = {confluent_kafka.TopicPartition(*partition): spec for partition, spec in wanted.items()}
        futures = self._admin.list_offsets(request, isolation_level=isolation, request_timeout=self._timeout_s)
        for place, future in futures.items():
            partition = TopicPartition(place.topic, place.partition)
            try:
                answer = future.result()
            except confluent_kafka.KafkaException as error:
                fault = fault_of(error.args[0])
                if fault.kind is FaultKind.GONE:
                    answers.gone.add(partition)
                else:
                    answers.failed[partition] = str(fault)
            else:
                answers.found[partition] = (answer.offset, answer.timestamp)
        if answers.failed:
            # librdkafka's admin client goes on asking a former leader for minutes, until it lists the topics.
            self._admin.list_topics(timeout=self._timeout_s)
        return answers
