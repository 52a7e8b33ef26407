"""The lag monitor on a real broker: each state, any group, lag in seconds, rights, and what is served."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from confluent_kafka.admin import (
    AclOperation,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from infra.kafka.clients import admin
from infra.lag.monitor import LagMonitor, stage_groups
from infra.lag.reports import GroupReport
from infra.lag.rules.lag_time import LagTimeKind
from infra.lag.rules.status import LagStatus
from infra.process.ports import find_ports
from tests.support.deployment import Deployment
from tests.support.deployment import deployment as new_deployment
from tests.support.lag_consumers import commit, reading, write, writing
from tests.support.limited_broker import PROPERTIES, allow
from tests.support.runner import Runner, Running
from tests.support.services import Services, local_services

LAG = {"stuck_after_s": 3, "trend_after_s": 4, "groups": {}}


@pytest.fixture
def topic(deployment: Deployment) -> Iterator[str]:
    """A topic of the test with two partitions."""
    name = f"{deployment.prefix}lag"
    client = admin(deployment.settings())
    for future in client.create_topics([NewTopic(name, 2, 1)]).values():
        future.result(30)
    yield name
    for future in client.delete_topics([name]).values():
        with pytest.MonkeyPatch.context():
            try:
                future.result(30)
            except Exception as error:
                assert "UNKNOWN_TOPIC" in str(error)


@pytest.fixture
def monitor(deployment: Deployment) -> Iterator[LagMonitor]:
    with LagMonitor(deployment.settings(lag=LAG), [f"{deployment.prefix}*"]) as made:
        yield made


def looked(monitor: LagMonitor, group: str, until: Callable[[GroupReport], bool]) -> GroupReport:
    """Look every half second until the report of the group is as wanted."""
    end_s = time.monotonic() + 60
    while True:
        found = {report.group: report for report in monitor.look()}
        if group in found and until(found[group]):
            return found[group]
        assert time.monotonic() < end_s, found.get(group)
        time.sleep(0.5)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_healthy_group_is_ok_and_a_stuck_one_is_named(
    deployment: Deployment, monitor: LagMonitor, topic: str, protocol: str
) -> None:
    healthy, stuck = f"{deployment.prefix}healthy", f"{deployment.prefix}stuck"
    commit(deployment, stuck, topic, 0)
    with ExitStack() as running:
        running.enter_context(writing(deployment, topic))
        running.enter_context(reading(deployment, healthy, topic, protocol=protocol))
        running.enter_context(reading(deployment, stuck, topic, commits=False, protocol=protocol))
        found = looked(monitor, stuck, lambda report: report.status is LagStatus.ERR)
        assert found.partitions[0].status is LagStatus.STALL
        assert "reads it and commits nothing new" in found.cause
        assert (found.members, found.state, found.lag_s_kind) == (1, "Stable", LagTimeKind.EXACT)
        found = looked(monitor, healthy, lambda report: report.members == 1 and report.partitions != [])
        assert (found.status, found.cause) == (LagStatus.OK, "")
    # It is stopped now, and taken back when somebody reads again.
    found = looked(monitor, stuck, lambda report: report.partitions[0].status is LagStatus.STOP)
    assert "no member reads" in found.cause
    with reading(deployment, stuck, topic, protocol=protocol):
        looked(monitor, stuck, lambda report: report.status is LagStatus.OK and report.total_lag == 0)


def test_a_stopped_group_is_known_at_the_first_look(deployment: Deployment, monitor: LagMonitor, topic: str) -> None:
    write(deployment, topic, 10)
    commit(deployment, f"{deployment.prefix}stopped", topic, 4)
    time.sleep(LAG["stuck_after_s"] + 0.5)  # type: ignore[operator]
    [report] = monitor.look()
    assert report.partitions[0].status is LagStatus.STOP
    assert (report.total_lag, report.partitions[0].committed, report.partitions[0].end) == (6, 4, 10)
    assert report.lag_s is not None
    assert 3 < report.lag_s < 60


def test_the_age_is_that_of_the_record_at_the_committed_offset(
    deployment: Deployment, monitor: LagMonitor, topic: str
) -> None:
    for _ in range(4):
        write(deployment, topic, 1)
        time.sleep(0.3)
    commit(deployment, f"{deployment.prefix}late", topic, 1)
    [report] = monitor.look()
    assert report.lag_s_kind is LagTimeKind.EXACT
    assert report.lag_s is not None
    assert 0.9 <= report.lag_s < 10


def test_a_rewound_group(deployment: Deployment, monitor: LagMonitor, topic: str) -> None:
    group = f"{deployment.prefix}rewound"
    write(deployment, topic, 50)
    commit(deployment, group, topic, 40)
    monitor.look()
    commit(deployment, group, topic, 5)
    found = looked(monitor, group, lambda report: report.status is LagStatus.ERR)
    assert found.partitions[0].status is LagStatus.REWIND
    assert "went back by 35" in found.cause


def test_records_that_retention_removed_unread(deployment: Deployment, monitor: LagMonitor, topic: str) -> None:
    group = f"{deployment.prefix}eaten"
    write(deployment, topic, 50)
    commit(deployment, group, topic, 10)
    deployment.delete_before(topic, 30)
    [report] = monitor.look()
    assert (report.status, report.lost, report.total_lag) == (LagStatus.ERR, 20, 20)
    assert "retention removed 20 records" in report.cause


def test_retention_that_is_about_to_remove_unread_records(deployment: Deployment, topic: str) -> None:
    group = f"{deployment.prefix}endangered"
    client = admin(deployment.settings())
    change = ConfigResource(ResourceType.TOPIC, topic)
    change.add_incremental_config(ConfigEntry("retention.ms", "10000", incremental_operation=AlterConfigOpType.SET))
    for future in client.incremental_alter_configs([change]).values():
        future.result(30)
    write(deployment, topic, 4)
    commit(deployment, group, topic, 3)
    with LagMonitor(deployment.settings(lag={**LAG, "stuck_after_s": 600}), [group]) as patient:
        found = looked(patient, group, lambda report: report.status is LagStatus.WARN)
    assert "retention removes the oldest of 1 unread records in" in found.cause
    [part] = [one for one in found.partitions if one.current_lag]
    assert part.retention_s == 10.0
    assert part.retention_share is not None
    assert part.retention_share >= 0.8


def test_a_topic_that_was_deleted_and_one_that_was_made_again(
    deployment: Deployment, monitor: LagMonitor, topic: str
) -> None:
    group = f"{deployment.prefix}orphan"
    write(deployment, topic, 50)
    commit(deployment, group, topic, 10)
    monitor.look()
    client = admin(deployment.settings())
    for future in client.delete_topics([topic]).values():
        future.result(30)
    # The broker removes the group's offsets with the topic, sooner or later.
    looked(monitor, group, lambda report: report.partitions == [] or report.status is LagStatus.NOTFOUND)


def test_stages_that_never_ran_are_reported(deployment: Deployment) -> None:
    expected = stage_groups(deployment.prefix)
    with LagMonitor(deployment.settings(lag=LAG), [f"{deployment.prefix}*"], (), expected) as monitor:
        stream = f"{deployment.prefix}sightline-stream"
        assert {report.group for report in monitor.look()} == set(expected)
        write(deployment, deployment.topics.frames, 3)
        found = looked(monitor, stream, lambda report: report.status is LagStatus.ERR)
        assert "never committed, and no member reads: 3 records wait" in found.cause
        assert found.state == ""


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with local_services(tmp_path_factory.mktemp("limited"), properties=PROPERTIES) as services:
        yield services


def test_describe_rights_are_enough_and_a_missing_one_is_named(limited: Services) -> None:
    with new_deployment(limited) as old:
        topic = old.topics.frames
        mine, hidden = f"{old.prefix}mine", f"{old.prefix}hidden"
        write(old, topic, 9)
        for group in (mine, hidden):
            commit(old, group, topic, 4)
        allow(old, ResourceType.TOPIC, topic, "ANONYMOUS", AclOperation.DESCRIBE)
        allow(old, ResourceType.GROUP, mine, "ANONYMOUS", AclOperation.DESCRIBE)
        allow(old, ResourceType.GROUP, hidden, "somebody", AclOperation.READ)
        allow(old, ResourceType.TOPIC, "__consumer_offsets", "somebody", AclOperation.READ)
        with LagMonitor(old.settings(lag=LAG), [mine, hidden], (), {mine: "", hidden: ""}) as monitor:
            found = looked(monitor, hidden, lambda report: report.status is LagStatus.NOTFOUND)
            assert "GroupAuthorization" in found.cause or "no such group" in found.cause
            found = looked(monitor, mine, lambda report: report.total_lag == 5)
            assert found.partitions[0].committed == 4
            assert found.lag_s is not None
            # Nobody may read the topic's settings: what is not known warns nobody and stops nothing.
            allow(old, ResourceType.TOPIC, topic, "somebody", AclOperation.DESCRIBE_CONFIGS)
            assert found.partitions[0].retention_s is None
            allow(old, ResourceType.TOPIC, old.topics.labels, "somebody", AclOperation.READ)
            found = looked(monitor, mine, lambda report: report.status is LagStatus.ERR)
            assert "no member reads" in found.cause


def get(running: Running, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{running.http_port}{path}", timeout=10) as answer:
        body = answer.read().decode()
    return json.loads(body) if body.startswith(("{", "[")) else body


def test_what_is_served_of_a_group_that_stops(deployment: Deployment, topic: str) -> None:
    group = f"{deployment.prefix}served"
    env = {**deployment.env, "SIGHTLINE_LAG__LOOK_INTERVAL_S": "1", "SIGHTLINE_LAG__STUCK_AFTER_S": "3"}
    [port] = find_ports(1)
    running = Running(["lag", "--group", group, "--serve", str(port)], env, http=False)
    running.http_port = port
    try:
        running.wait_ready()
        with writing(deployment, topic), reading(deployment, group, topic):
            burrow = f"/v3/kafka/local/consumer/{group}/lag"
            until(lambda: group in get(running, "/v3/kafka/local/consumer")["consumers"])
            until(lambda: get(running, burrow)["status"]["status"] == "OK")
            until(lambda: get(running, f"/v1/scale/{group}")["rate_per_worker"] > 0)
            assert "rdkafka" in {one["client_id"] for one in get(running, burrow)["status"]["partitions"]}
        write(deployment, topic, 5)
        until(lambda: f'sightline_lag_status{{cluster="local",group="{group}"}} 3.0' in get(running, "/metrics"))
        assert 'client_id="rdkafka"' not in get(running, "/metrics"), "the member has left"
        [report] = get(running, "/v1/groups")
        assert report["status"] == "ERR"
        assert running.stop() == 0
    finally:
        running.close()


def test_commits_from_before_the_start_have_the_times_that_the_cluster_has(deployment: Deployment, topic: str) -> None:
    """A look would give all of them its own time, and one commit where there were several."""
    group = f"{deployment.prefix}before"
    write(deployment, topic, 9)
    began_ms = time.time_ns() // 1_000_000
    for offset in (2, 4, 6):
        commit(deployment, group, topic, offset)
    done_ms = time.time_ns() // 1_000_000
    time.sleep(1.0)
    env = {**deployment.env, "SIGHTLINE_LAG__LOOK_INTERVAL_S": "1"}
    [port] = find_ports(1)
    running = Running(["lag", "--group", group, "--serve", str(port)], env, http=False)
    running.http_port = port

    def kept() -> list[dict[str, int]]:
        try:
            topics = get(running, f"/v3/kafka/local/consumer/{group}")["topics"]
        except urllib.error.HTTPError:
            return []  # forgotten between two questions, until the log of commits is read
        return [one for one in topics[topic][0]["offsets"] if one is not None]

    try:
        running.wait_ready()
        until(lambda: len(kept()) == 3)
        assert [one["offset"] for one in kept()] == [2, 4, 6]
        assert all(began_ms <= one["timestamp"] <= done_ms for one in kept())
    finally:
        running.close()


def until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.3)


def test_the_command_fails_on_a_group_that_is_bad(deployment: Deployment, sightline: Runner, topic: str) -> None:
    group = f"{deployment.prefix}bad"
    write(deployment, topic, 5)
    commit(deployment, group, topic, 0)
    env = {"SIGHTLINE_LAG__STUCK_AFTER_S": "1"}
    done = sightline.run("lag", "--group", group, "--fail-on", "err", "--json", env=env)
    assert done.returncode == 1, done.stderr
    [report] = json.loads(done.stdout)
    assert {"group", "status", "burrow_status", "state", "members", "total_lag", "lag_s", "lag_s_kind", "cause"} < set(
        report
    )
    assert (report["status"], report["total_lag"], report["partitions"][0]["status"]) == ("ERR", 5, "STOP")
    commit(deployment, group, topic, 5)
    done = sightline.run("lag", "--group", group, "--fail-on", "warn", env=env)
    assert done.returncode == 0, done.stdout
    assert "OK" in done.stdout
    missing = sightline.run("lag", "--group", f"{deployment.prefix}nobody", "--fail-on", "err")
    assert missing.returncode == 1
    assert "no such group" in missing.stdout
    assert sightline.run("lag", "--fail-on", "sometimes").returncode == 2
