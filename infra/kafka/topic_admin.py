"""Creates the topics, and reports where existing ones differ from the design."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from infra.kafka.clients import admin, bootstrap
from infra.kafka.errors import failure_of
from infra.kafka.topics import TopicSpec, specs
from infra.settings import Settings
from schemas.errors import Unavailable

_TIMEOUT_S = 30.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Difference:
    """A property of a topic that differs from the design; `name` is `partitions`, `replication` or a topic setting."""

    topic: str
    name: str
    found: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.name} is {self.found}, should be {self.wanted}"


@dataclass(frozen=True, slots=True)
class TopicReport:
    created: tuple[str, ...]
    existing: tuple[str, ...]
    differences: tuple[Difference, ...]


def ensure_topics(settings: Settings) -> TopicReport:
    """Creates missing topics and waits until they can be written to; existing ones are compared and never changed.

    Idempotent, also when two run at once. Call after `require_kafka`; raises Unavailable when the broker refuses.
    """
    client, wanted = admin(settings), specs(settings)
    try:
        missing = _missing(client, wanted)
        created = _create(client, missing, settings.topics.replication_factor or -1)
        _wait_for_leaders(client, missing)
        existing = [spec for spec in wanted if spec.name not in created]
        differences = _differences(client, existing, settings.topics.replication_factor)
    except (KafkaException, TimeoutError) as error:
        raise Unavailable(
            "Kafka", bootstrap(settings), f"topics could not be created or compared: {_words(error)}"
        ) from error
    return TopicReport(tuple(created), tuple(spec.name for spec in existing), tuple(differences))


def check_topics(settings: Settings) -> tuple[list[str], list[Difference]]:
    """The missing topics, and the differences of the others; changes nothing."""
    client, wanted = admin(settings), specs(settings)
    try:
        missing = {spec.name for spec in _missing(client, wanted)}
        existing = [spec for spec in wanted if spec.name not in missing]
        return sorted(missing), _differences(client, existing, settings.topics.replication_factor)
    except (KafkaException, TimeoutError) as error:
        raise Unavailable("Kafka", bootstrap(settings), f"topics could not be read: {_words(error)}") from error


def delete_topics(settings: Settings) -> None:
    """Delete those of the deployment's topics that exist. Raises KafkaFailure. For benchmarks and tests."""
    client, wanted = admin(settings), specs(settings)
    try:
        found = client.list_topics(timeout=_TIMEOUT_S).topics
        names = [spec.name for spec in wanted if spec.name in found]
        for future in client.delete_topics(names).values() if names else ():
            future.result(_TIMEOUT_S)
    except KafkaException as error:
        raise failure_of(error) from error


def log_id(settings: Settings, topic: str) -> str:
    """Identifies the log behind the name: the ids of the cluster and of the topic. Made again, a topic has another one.

    Raises Unavailable when the topic is not there or the broker does not answer.
    """
    client = admin(settings)
    try:
        cluster = client.list_topics(timeout=_TIMEOUT_S).cluster_id
        found = client.describe_topics(TopicCollection([topic]), request_timeout=_TIMEOUT_S)[topic].result(_TIMEOUT_S)
    except (KafkaException, TimeoutError) as error:
        raise Unavailable("Kafka", bootstrap(settings), f"{topic} could not be described: {_words(error)}") from error
    return f"{cluster}/{found.topic_id}"


def _missing(client: AdminClient, wanted: Sequence[TopicSpec]) -> list[TopicSpec]:
    found = client.list_topics(timeout=_TIMEOUT_S).topics
    return [spec for spec in wanted if spec.name not in found]


def _create(client: AdminClient, missing: Sequence[TopicSpec], replication: int) -> list[str]:
    if not missing:
        return []
    topics = [NewTopic(spec.name, spec.partitions, replication, config=spec.config) for spec in missing]
    created = []
    for name, future in client.create_topics(topics, operation_timeout=_TIMEOUT_S).items():
        try:
            future.result(_TIMEOUT_S)
            created.append(name)
        except KafkaException as error:
            # Another process creates the topic at this moment.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
    return created


def _wait_for_leaders(client: AdminClient, topics: Sequence[TopicSpec]) -> None:
    """Waits until every partition has a leader: a topic exists some time before that."""
    until = time.monotonic() + _TIMEOUT_S
    while topics:
        found = client.list_topics(timeout=_TIMEOUT_S).topics
        ready = [
            spec.name in found
            and len(found[spec.name].partitions) == spec.partitions
            and all(partition.leader >= 0 for partition in found[spec.name].partitions.values())
            for spec in topics
        ]
        if all(ready):
            return
        if time.monotonic() > until:
            raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
        time.sleep(_POLL_S)


def _differences(client: AdminClient, existing: Sequence[TopicSpec], replication: int) -> list[Difference]:
    if not existing:
        return []
    found: list[Difference] = []
    topics = client.list_topics(timeout=_TIMEOUT_S).topics
    resources = [ConfigResource(ResourceType.TOPIC, spec.name) for spec in existing]
    configs = {
        resource.name: future.result(_TIMEOUT_S) for resource, future in client.describe_configs(resources).items()
    }
    for spec in existing:
        partitions = topics[spec.name].partitions
        if len(partitions) != spec.partitions:
            found.append(Difference(spec.name, "partitions", str(len(partitions)), str(spec.partitions)))
        replicas = min((len(partition.replicas) for partition in partitions.values()), default=0)
        if replication and replicas != replication:
            found.append(Difference(spec.name, "replication", str(replicas), str(replication)))
        for name, wanted in spec.config.items():
            entry = configs[spec.name].get(name)
            value = entry.value if entry else None
            if value != wanted:
                found.append(Difference(spec.name, name, str(value), wanted))
    return found


def _words(error: KafkaException | TimeoutError) -> str:
    first = error.args[0] if error.args else f"no answer within {_TIMEOUT_S:g} s"
    return first.str() if isinstance(first, KafkaError) else str(first)
