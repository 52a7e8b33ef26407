"""Topics on brokers that do not know every setting, over an admin client that does what the test says."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from infra.kafka import topic_admin
from infra.kafka.brokers import BrokersFound
from infra.kafka.topic_admin import OPTIONAL, check_topics, ensure_topics
from infra.kafka.topics import specs
from infra.settings import Settings, load_settings
from schemas.errors import Unavailable

SETTINGS = load_settings({"topics": {"partitions": 1}})
YOUNGEST = "message.timestamp.after.max.ms"


class Broker:
    """Takes topics with the settings that it knows; `names_it`: says which one it refuses."""

    def __init__(self, unknown: set[str], names_it: bool, code: int = KafkaError.INVALID_CONFIG) -> None:
        self.unknown, self.names_it, self.code = unknown, names_it, code
        self.topics: dict[str, dict[str, str]] = {}
        self.requests = 0

    def list_topics(self, timeout: float) -> Any:
        partition = SimpleNamespace(leader=1, replicas=[1])
        return SimpleNamespace(topics={name: SimpleNamespace(partitions={0: partition}) for name in self.topics})

    def create_topics(self, topics: list[Any], operation_timeout: float) -> dict[str, Future[None]]:
        self.requests += 1
        answers = {}
        for topic in topics:
            refused = [name for name in topic.config if name in self.unknown]
            answers[topic.topic] = answer = Future[None]()
            if refused:
                words = f"Unknown topic config name: {refused[0]}" if self.names_it else "Configuration is invalid"
                answer.set_exception(KafkaException(KafkaError(self.code, words)))
            else:
                self.topics[topic.topic] = topic.config
                answer.set_result(None)
        return answers

    def describe_configs(self, resources: list[Any]) -> dict[Any, Future[Any]]:
        answers = {}
        for resource in resources:
            known = self.topics[resource.name]
            answers[resource] = answer = Future[Any]()
            answer.set_result({name: SimpleNamespace(value=value) for name, value in known.items()})
        return answers


def on(monkeypatch: pytest.MonkeyPatch, broker: Broker) -> Settings:
    monkeypatch.setattr(topic_admin, "admin", lambda _settings: broker)
    monkeypatch.setattr(topic_admin, "find_brokers", lambda _settings: BrokersFound(frozenset([1])))
    return SETTINGS


@pytest.mark.parametrize("names_it", [True, False])
@pytest.mark.parametrize("code", [KafkaError.INVALID_CONFIG, KafkaError.POLICY_VIOLATION])
def test_a_setting_that_an_older_broker_does_not_know_is_left_out_with_a_note(
    monkeypatch: pytest.MonkeyPatch, names_it: bool, code: int
) -> None:
    broker = Broker({YOUNGEST}, names_it, code)
    report = ensure_topics(on(monkeypatch, broker))
    assert set(report.created) == {spec.name for spec in specs(SETTINGS)} == set(broker.topics)
    assert {(one.topic, one.name) for one in report.left_out} == {(name, YOUNGEST) for name in broker.topics}
    assert broker.requests == 2
    for spec in specs(SETTINGS):
        assert broker.topics[spec.name] == {name: value for name, value in spec.config.items() if name != YOUNGEST}
    again = ensure_topics(SETTINGS)
    assert (again.differences, len(again.left_out)) == ((), len(broker.topics))
    assert check_topics(SETTINGS).differences == []


def test_several_settings_are_left_out_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker({YOUNGEST, "compression.type"}, names_it=False)
    report = ensure_topics(on(monkeypatch, broker))
    assert {one.name for one in report.left_out} == {YOUNGEST, "compression.type"}


@pytest.mark.parametrize("needed", ["retention.ms", "max.message.bytes", "cleanup.policy"])
@pytest.mark.parametrize("names_it", [True, False])
def test_without_a_setting_that_matters_there_is_no_topic(
    monkeypatch: pytest.MonkeyPatch, needed: str, names_it: bool
) -> None:
    broker = Broker({needed}, names_it)
    with pytest.raises(Unavailable, match="topics could not be created or compared"):
        ensure_topics(on(monkeypatch, broker))
    assert broker.requests <= 1 + len(OPTIONAL)
    assert not [name for name in broker.topics if needed in broker.topics[name]]


def test_a_missing_right_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker({"retention.ms"}, names_it=True, code=KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(Unavailable, match="needs the rights Create, Describe and DescribeConfigs"):
        ensure_topics(on(monkeypatch, broker))
