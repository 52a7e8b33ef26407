"""Creates the topics, and reports where existing ones differ from the design.

An older broker, or a service that does not let its users set everything, refuses a topic with a setting that it does
not know. Those of OPTIONAL are then left out, which the report says; without another one no topic is created.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from infra.kafka.brokers import find_brokers
from infra.kafka.clients import admin, bootstrap
from infra.kafka.errors import failure_of
from infra.kafka.listeners import advice
from infra.kafka.topics import TopicSpec, specs
from infra.settings import Settings
from schemas.errors import Unavailable

_TIMEOUT_S = 30.0
_POLL_S = 0.1
# Settings that a topic does without where a broker does not take them, the youngest first. Kafka before 3.6 does not
# know `message.timestamp.after.max.ms` and accepts frames from the future anyhow; zstd came with 2.1.
OPTIONAL = ("message.timestamp.after.max.ms", "compression.type", "message.timestamp.type")
_REFUSED_SETTING = (KafkaError.INVALID_CONFIG, KafkaError.POLICY_VIOLATION)
_NO_RIGHT = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)


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
class LeftOut:
    """A setting that a topic does without, because the broker does not take it."""

    topic: str
    name: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.name} = {self.wanted} is left out, this broker does not take it"


@dataclass(frozen=True, slots=True)
class TopicReport:
    created: tuple[str, ...]
    existing: tuple[str, ...]
    differences: tuple[Difference, ...]
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, slots=True)
class TopicCheck:
    """What `check_topics` found; it changed nothing."""

    missing: list[str]
    differences: list[Difference]
    left_out: list[LeftOut]


def ensure_topics(settings: Settings) -> TopicReport:
    """Creates missing topics and waits until they can be written to; existing ones are compared and never changed.

    Idempotent, also when two run at once. Call after `require_kafka`; raises Unavailable when the broker refuses.
    """
    client, wanted = admin(settings), specs(settings)
    try:
        missing = _missing(client, wanted)
        created, left_out = _create(client, missing, settings.topics.replication_factor or -1)
        _wait_for_leaders(client, missing)
        existing = [spec for spec in wanted if spec.name not in created]
        differences, unknown = _differences(client, existing, settings.topics.replication_factor)
    except (KafkaException, TimeoutError) as error:
        raise _unavailable(settings, "topics could not be created or compared", error) from error
    return TopicReport(tuple(created), tuple(spec.name for spec in existing), tuple(differences), (*left_out, *unknown))


def check_topics(settings: Settings) -> TopicCheck:
    """The missing topics, and the differences of the others. Raises Unavailable."""
    client, wanted = admin(settings), specs(settings)
    try:
        missing = {spec.name for spec in _missing(client, wanted)}
        existing = [spec for spec in wanted if spec.name not in missing]
        return TopicCheck(sorted(missing), *_differences(client, existing, settings.topics.replication_factor))
    except (KafkaException, TimeoutError) as error:
        raise _unavailable(settings, "topics could not be read", error) from error


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
        raise _unavailable(settings, f"{topic} could not be described", error) from error
    return f"{cluster}/{found.topic_id}"


def _missing(client: AdminClient, wanted: Sequence[TopicSpec]) -> list[TopicSpec]:
    found = client.list_topics(timeout=_TIMEOUT_S).topics
    return [spec for spec in wanted if spec.name not in found]


def _create(client: AdminClient, missing: Sequence[TopicSpec], replication: int) -> tuple[list[str], list[LeftOut]]:
    """All at once; those that are refused for a setting again, each without that setting."""
    created: list[str] = []
    left_out: dict[str, list[str]] = {}
    wanted = list(missing)
    while wanted:
        topics = [
            NewTopic(
                spec.name,
                spec.partitions,
                replication,
                config={name: value for name, value in spec.config.items() if name not in left_out.get(spec.name, ())},
            )
            for spec in wanted
        ]
        answers = client.create_topics(topics, operation_timeout=_TIMEOUT_S)
        again = []
        for spec in wanted:
            try:
                answers[spec.name].result(_TIMEOUT_S)
                created.append(spec.name)
            except KafkaException as error:
                # Another process creates the topic at this moment.
                if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                    continue
                left_out.setdefault(spec.name, []).append(_optional_in(error, spec, left_out.get(spec.name, [])))
                again.append(spec)
        wanted = again
    return created, [
        LeftOut(spec.name, name, spec.config[name])
        for spec in missing
        for name in left_out.get(spec.name, ())
        if spec.name in created
    ]


def _optional_in(error: KafkaException, spec: TopicSpec, left_out: list[str]) -> str:
    """The setting to try without: the one that the broker names, else the youngest. Raises the error of any other."""
    refusal: KafkaError = error.args[0]
    rest = [name for name in OPTIONAL if name in spec.config and name not in left_out]
    if refusal.code() not in _REFUSED_SETTING or not rest:
        raise error
    if any(name in refusal.str() for name in spec.config if name not in OPTIONAL):
        raise error
    return next((name for name in rest if name in refusal.str()), rest[0])


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


def _differences(
    client: AdminClient, existing: Sequence[TopicSpec], replication: int
) -> tuple[list[Difference], list[LeftOut]]:
    """Where the topics differ, and which settings their broker does not have."""
    if not existing:
        return [], []
    found, left_out = list[Difference](), list[LeftOut]()
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
            if entry is None and name in OPTIONAL:
                left_out.append(LeftOut(spec.name, name, wanted))
            elif entry is None or entry.value != wanted:
                found.append(Difference(spec.name, name, str(entry and entry.value), wanted))
    return found, left_out


def _unavailable(settings: Settings, what: str, error: KafkaException | TimeoutError) -> Unavailable:
    """Says the cause where the client only knows that the time is over, and which rights are needed."""
    first = error.args[0] if error.args else None
    if not isinstance(first, KafkaError):
        words = f"no answer within {_TIMEOUT_S:g} s" if first is None else str(first)
    else:
        words = first.str()
        if first.code() in _NO_RIGHT:
            words += ": this user needs the rights Create, Describe and DescribeConfigs on the topics (`kafka-acls.sh`)"
    found = find_brokers(settings)
    if found.unreachable:
        words += f". Kafka {advice(list(found.unreachable))}"
    hint = f"answers, but {what}: {words}" if found.answer else f"{what}: {words}"
    return Unavailable("Kafka", bootstrap(settings), hint, answers=found.answer)
