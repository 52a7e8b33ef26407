"""Rights as the broker tells them: what is missing is named, what it does not tell counts as granted."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AclOperation, AdminClient

from infra.kafka.rights import missing_group_right, missing_topic_rights

ALL = [AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE]
Told = list[AclOperation] | KafkaError | None


class Broker:
    def __init__(self, told: dict[str, Told]) -> None:
        self.told = told

    def describe_topics(self, topics: Any, **_: Any) -> dict[str, Future[Any]]:
        answers = {}
        for topic, told in self.told.items():
            answers[topic] = answer = Future[Any]()
            if isinstance(told, KafkaError):
                answer.set_exception(KafkaException(told))
            else:
                answer.set_result(SimpleNamespace(authorized_operations=told))
        return answers


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"a": ALL, "b": ALL}, []),
        ({"a": [AclOperation.DESCRIBE, AclOperation.WRITE], "b": ALL}, ["Read on topic a"]),
        ({"a": ALL, "b": [AclOperation.DESCRIBE]}, ["Write on topic b"]),
        ({"a": KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), "b": ALL}, ["Describe on topic a"]),
        ({"a": None, "b": []}, []),
        ({"a": KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), "b": ALL}, []),
        ({"a": KafkaError(KafkaError._UNSUPPORTED_FEATURE), "b": ALL}, []),
    ],
)
def test_what_is_missing_on_topics(told: dict[str, Told], expected: list[str]) -> None:
    client = cast(AdminClient, Broker(told))
    assert missing_topic_rights(client, ["a"], ["b"], 1.0) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [(KafkaError.GROUP_AUTHORIZATION_FAILED, ["Read on group g"]), (KafkaError._TIMED_OUT, []), (None, [])],
)
def test_what_is_missing_on_a_group(code: int | None, expected: list[str]) -> None:
    def committed(_partitions: list[Any], _timeout_s: float) -> list[Any]:
        if code is not None:
            raise KafkaException(KafkaError(code))
        return []

    client = SimpleNamespace(committed=committed, poll=lambda _timeout_s: None)
    assert missing_group_right(client, "labels", "g", 0.0) == expected


def test_a_refusal_to_name_the_coordinator_comes_as_a_message() -> None:
    def committed(_partitions: list[Any], _timeout_s: float) -> list[Any]:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    message = SimpleNamespace(error=lambda: KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))
    client = SimpleNamespace(committed=committed, poll=lambda _timeout_s: message)
    assert missing_group_right(client, "labels", "g", 60.0) == ["Read on group g"]
