"""Which rights the client's user has on topics and on a consumer group, as the broker tells them.

A broker without an authorizer grants everything. A broker that does not tell operations (before Kafka 2.3, some
services) leaves them unknown, and what is unknown counts as granted.
"""

import time
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient

_MARGIN_S, _TURN_S = 5.0, 0.5


def missing_topic_rights(
    client: AdminClient, reads: Iterable[str], writes: Iterable[str], timeout_s: float
) -> list[str]:
    """`Read on topic labels`, ..."""
    wanted: dict[str, set[AclOperation]] = {}
    for topics, operation in ((reads, AclOperation.READ), (writes, AclOperation.WRITE)):
        for topic in topics:
            wanted.setdefault(topic, set()).add(operation)
    missing = []
    for topic, granted in _operations(client, list(wanted), timeout_s).items():
        lacking = [AclOperation.DESCRIBE] if not granted else sorted(wanted[topic] - granted, key=lambda one: one.name)
        missing += [f"{operation.name.capitalize()} on topic {topic}" for operation in lacking]
    return missing


def missing_group_right(consumer: Any, topic: str, group: str, timeout_s: float) -> list[str]:
    """`Read on group sightline-infer` where the broker refuses to tell the group's offsets; `consumer` has its id."""
    refused, end_s = [f"Read on group {group}"], time.monotonic() + timeout_s
    while True:
        try:
            consumer.committed([confluent_kafka.TopicPartition(topic, 0)], _TURN_S)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                return refused
        else:
            return []
        # Where not even the coordinator is told, the call waits in vain and the reason comes as a message.
        message = consumer.poll(0)
        reason = None if message is None else message.error()
        if reason is not None and reason.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            return refused
        if time.monotonic() > end_s:
            return []


def _operations(client: AdminClient, topics: list[str], timeout_s: float) -> dict[str, set[AclOperation]]:
    """What is granted, of the topics where the broker tells: empty where not even their description is."""
    if not topics:
        return {}
    answers: dict[str, Future[Any]] = client.describe_topics(
        TopicCollection(topics), include_authorized_operations=True, request_timeout=timeout_s
    )
    found: dict[str, set[AclOperation]] = {}
    for topic, answer in answers.items():
        try:
            operations = answer.result(timeout_s + _MARGIN_S).authorized_operations
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                found[topic] = set()
        except TimeoutError:
            continue
        else:
            if operations:
                found[topic] = set(operations)
    return found
