"""A real broker where KIP-848 is switched off and where rights are given one by one: both are named, nothing hangs."""

import json
import time
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AclOperation, ResourceType

from inference.worker.group.clients import group_consumer
from infra.kafka.abilities import lacking_rights, usable_group_protocol
from infra.kafka.consumer import GroupConsumer
from infra.kafka.membership import Membership
from infra.kafka.reader import Reader
from infra.kafka.start_checks import require_topics
from infra.kafka.topics import group
from infra.process.lifecycle import Deadline
from schemas.coordinates import TopicPartition
from schemas.errors import Unavailable
from sinks.explain.life import State, verdict
from sinks.explain.look import Looker, Range
from tests.support.deployment import Deployment
from tests.support.deployment import deployment as new_deployment
from tests.support.limited_broker import PROPERTIES, allow
from tests.support.runner import Runner
from tests.support.services import Services, local_services
from tests.support.sink_records import Wire


class Share:
    """Which partitions a member was given."""

    def __init__(self) -> None:
        self.partitions: set[TopicPartition] = set()

    def on_assign(self, partitions: list[TopicPartition]) -> None:
        self.partitions.update(partitions)

    def on_revoke(self, partitions: list[TopicPartition]) -> None: ...

    def on_lost(self, partitions: list[TopicPartition]) -> None: ...


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with local_services(tmp_path_factory.mktemp("limited"), properties=PROPERTIES) as services:
        yield services


@pytest.fixture
def old(limited: Services) -> Iterator[Deployment]:
    with new_deployment(limited) as made:
        yield made


def share_of(member: GroupConsumer, topic: str) -> set[TopicPartition]:
    share, end_s = Share(), time.monotonic() + 60
    member.subscribe([topic], share)
    while not share.partitions and time.monotonic() < end_s:
        member.poll(0.1)
    member.close_within(Deadline(5))
    return share.partitions


def test_a_worker_falls_back_to_the_classic_protocol(old: Deployment) -> None:
    member = group_consumer(old.settings(), "workers", lambda _report: None, lambda _statistics: None)
    assert len(share_of(member, old.topics.batches)) == old.settings().topics.partitions
    assert member.group_protocol == "classic"
    assert usable_group_protocol(old.settings()) == "classic"


def test_a_sink_that_is_to_use_kip_848_falls_back_too(old: Deployment) -> None:
    settings = old.settings(kafka={"consumer": {"group.protocol": "consumer"}})
    member = GroupConsumer(settings, "sink", membership=Membership())
    assert len(share_of(member, old.topics.labels)) == settings.topics.partitions
    assert member.group_protocol == "classic"


def test_a_broker_of_ours_has_kip_848(deployment: Deployment) -> None:
    assert usable_group_protocol(deployment.settings()) == "consumer"
    assert lacking_rights(deployment.settings()) == []


def until_named(settings_of: Deployment, words: str, **wanted: object) -> str:
    """An ACL reaches the authorizer a moment after it was created."""
    end_s, said = time.monotonic() + 20, ""
    while words not in said:
        assert time.monotonic() < end_s, said
        try:
            require_topics(settings_of.settings(), **wanted)  # type: ignore[arg-type]
        except Unavailable as error:
            said = str(error)
    return said


@pytest.mark.system
def test_a_right_that_is_missing_is_named_with_its_topic_or_group(old: Deployment, limited: Services) -> None:
    names, settings = old.topics, old.settings()
    require_topics(settings, reads=[names.batches], writes=[names.labels], groups={"workers": names.batches})
    allow(old, ResourceType.TOPIC, names.labels, "ANONYMOUS", AclOperation.READ)
    said = until_named(old, f"Write on topic {names.labels}", writes=[names.labels])
    assert said.startswith(f"Kafka at {limited.bootstrap_servers} refuses this user: the right Write on topic")
    require_topics(settings, reads=[names.labels])

    allow(old, ResourceType.TOPIC, names.dead, "somebody", AclOperation.READ)
    until_named(old, f"Describe on topic {names.dead}", writes=[names.dead])

    infer = group("infer", old.prefix)
    allow(old, ResourceType.GROUP, infer, "somebody", AclOperation.READ)
    until_named(old, f"Read on group {infer}", reads=[names.batches], groups={infer: names.batches})
    retry = group("retry", old.prefix)
    allow(old, ResourceType.GROUP, retry, "somebody", AclOperation.READ)
    until_named(old, f"Read on group {retry}", reads=[names.retry], groups={infer: names.batches, retry: names.retry})

    runner = Runner(old.env)
    done = runner.run("infer", "--model", "null")
    assert done.returncode == 1
    assert "the right Write on topic" in done.stderr and f"Read on group {infer}" in done.stderr
    done = runner.run("stream", "--model", "null")
    assert done.returncode == 1
    assert f"Read on group {retry}" in done.stderr
    findings = json.loads(runner.run("doctor", "--json").stdout)
    [rights] = [found for found in findings if found["subject"] == "rights"]
    assert rights["verdict"] == "warn"
    group_rights = [f"Read on group {one}" for one in (infer, retry)]
    assert all(one in rights["found"] for one in (f"Write on topic {names.labels}", *group_rights))
    [groups] = [found for found in findings if found["subject"] == "groups"]
    assert "workers use the classic one" in groups["found"]


def test_explain_says_what_it_may_not_look_at(old: Deployment) -> None:
    names, wire = old.topics, Wire(old)
    (frame,) = wire.frames(1)
    wire.label(frame)
    allow(old, ResourceType.TOPIC, names.dead, "somebody", AclOperation.READ)
    allow(old, ResourceType.GROUP, group("stream", old.prefix), "somebody", AclOperation.READ)
    until_named(old, f"Describe on topic {names.dead}", reads=[names.dead])
    until_named(old, "Read on group", groups={group("stream", old.prefix): names.frames})
    settings = old.settings()
    with Reader(settings) as reader:
        life = Looker(settings, reader, "live", Deadline(60).expired).life_of(frame, Range(None, None))
    assert verdict(life)[0] is State.LABELLED
    told = "\n".join(life.notes)
    assert f"{names.dead} was not looked at: the right Describe on topic {names.dead} is missing" in told
    stage = group("stream", old.prefix)
    assert f"not known: how far {stage} is: the right Read on group {stage} is missing" in told
