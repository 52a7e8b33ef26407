"""On a real broker: markers of transactions, share groups, and a user who may describe and nothing else."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AclOperation, ResourceType

from infra.kafka.clients import producer_config
from infra.lag.monitor import LagMonitor
from infra.lag.reports import GroupReport
from infra.lag.rules.lag_time import LagTimeKind
from infra.lag.rules.status import LagStatus
from infra.local.jars import jars_dir, require_java
from tests.support.deployment import Deployment
from tests.support.deployment import deployment as new_deployment
from tests.support.lag_consumers import commit, write
from tests.support.limited_broker import PROPERTIES, allow
from tests.support.paths import ROOT
from tests.support.runner import Runner
from tests.support.services import JARS_HOME, local_services

pytestmark = pytest.mark.system

LAG = {"stuck_after_s": 3, "trend_after_s": 4, "groups": {}}


@pytest.fixture
def monitor(deployment: Deployment) -> Iterator[LagMonitor]:
    with LagMonitor(deployment.settings(lag=LAG), [f"{deployment.prefix}*"]) as made:
        yield made


def in_transactions(deployment: Deployment, topic: str, *commits: bool) -> None:
    """Two records each; every transaction leaves a marker behind them."""
    keys = {"linger.ms": 0, "delivery.timeout.ms": 30_000, "transactional.id": f"{deployment.prefix}tx"}
    producer = Producer(producer_config(deployment.settings(), **keys))
    producer.init_transactions(30)
    for is_committed in commits:
        producer.begin_transaction()
        for _ in range(2):
            producer.produce(topic, b"x", partition=0)
        producer.flush(10)
        (producer.commit_transaction if is_committed else producer.abort_transaction)(30)


def looked(monitor: LagMonitor, seconds: float) -> dict[str, GroupReport]:
    """The last of the looks within that time."""
    end_s = time.monotonic() + seconds
    while True:
        found = {report.group: report for report in monitor.look()}
        if time.monotonic() > end_s:
            return found
        time.sleep(0.5)


def test_markers_of_transactions_are_no_records_that_wait(deployment: Deployment, monitor: LagMonitor) -> None:
    """A group that has read everything stands before the last marker for ever: stopped by Burrow's rule."""
    topic = deployment.topics.labels
    in_transactions(deployment, topic, True, False)  # offsets 0 and 1, a marker; 3 and 4 aborted, a marker
    done, late = f"{deployment.prefix}done", f"{deployment.prefix}late"
    commit(deployment, done, topic, 2)
    commit(deployment, late, topic, 1)
    found = looked(monitor, 5.0)
    assert (found[done].status, found[done].total_lag, found[done].lag_s) == (LagStatus.OK, 0, None)
    assert found[done].burrow_status is LagStatus.ERR
    assert (found[late].status, found[late].partitions[0].status) == (LagStatus.ERR, LagStatus.STOP)
    in_transactions(deployment, topic, True)
    found = looked(monitor, 5.0)
    assert (found[done].status, found[done].total_lag) == (LagStatus.ERR, 7)


@contextmanager
def sharing(deployment: Deployment, group: str, topic: str) -> Iterator[None]:
    """A member of a share group reads the topic."""
    java = require_java()
    modules = subprocess.run([java, "--list-modules"], capture_output=True, text=True, check=True).stdout
    if "jdk.compiler" not in modules:
        pytest.skip("the Java here runs no source file (a JDK does)")
    words = [java, "-Xmx128m", "-cp", f"{jars_dir(JARS_HOME.path)}/*", str(ROOT / "tests/support/ShareReader.java")]
    log = (Path(deployment.services.home) / "share.log").open("wb")
    with (
        log,
        subprocess.Popen(
            [*words, deployment.services.bootstrap_servers, group, topic], stdout=log, stderr=log
        ) as process,
    ):
        try:
            yield
        finally:
            process.kill()


def test_a_share_group_is_listed_and_not_judged(deployment: Deployment, monitor: LagMonitor) -> None:
    topic, group = deployment.topics.labels, f"{deployment.prefix}share"
    write(deployment, topic, 5)
    with sharing(deployment, group, topic):
        end_s = time.monotonic() + 60
        while group not in (found := {report.group: report for report in monitor.look()}):
            assert time.monotonic() < end_s
            time.sleep(0.5)
    assert (found[group].kind, found[group].status, found[group].partitions) == ("share", LagStatus.OK, [])
    assert "share group" in found[group].cause


def test_a_user_who_may_describe_and_nothing_else(tmp_path: Path) -> None:
    """Status, lag in records and seconds, cause and verdict are told."""
    with local_services(tmp_path, properties=PROPERTIES) as services, new_deployment(services) as limited:
        topic, group = limited.topics.frames, f"{limited.prefix}sightline-stream"
        write(limited, topic, 9)
        commit(limited, group, topic, 4)
        for kind in (ResourceType.TOPIC, ResourceType.GROUP):
            allow(limited, kind, "*", "ANONYMOUS", AclOperation.DESCRIBE)
        # The last right that is given: on the cluster itself this user now has what its broker needs, and no Describe.
        allow(limited, ResourceType.BROKER, "kafka-cluster", "ANONYMOUS", AclOperation.CLUSTER_ACTION)
        time.sleep(1.0)  # until the authorizer knows it
        env = {"SIGHTLINE_LAG__STUCK_AFTER_S": "1"}
        sightline = Runner(limited.env)
        done = sightline.run("lag", "--json", "--pipeline", env=env)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        reports = {report["group"]: report for report in found["groups"]}
        assert (reports[group]["status"], reports[group]["total_lag"]) == ("ERR", 5), reports[group]
        assert reports[group]["lag_s"] > 0
        assert reports[group]["lag_s_kind"] in (LagTimeKind.EXACT, LagTimeKind.BOUND)
        assert "no member reads" in reports[group]["cause"]
        assert found["bottleneck"]["stage"] == "stream"
