"""`sightline up`, `down` and `status` on real brokers, also after something was killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from infra.kafka.brokers import answering_brokers
from infra.local.home import Home
from infra.local.state import LocalState, read_state, write_state
from infra.process.daemons import ProcessRef
from infra.process.ports import find_ports, port_is_free
from schemas.errors import ConfigError, Unavailable
from tests.support.batches import wait_for
from tests.support.controlled_services import ControlledKafka
from tests.support.runner import Runner
from tests.support.services import JARS_HOME, local_services, share_jars, stopped_at_exit

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Runner]:
    """`sightline` with a state folder of its own and nothing configured."""
    home = tmp_path / "state"
    share_jars(home)
    env = {name: value for name, value in os.environ.items() if not name.startswith("SIGHTLINE_")}
    runner = Runner({**env, "SIGHTLINE_HOME": str(home)}, cwd=tmp_path)
    with stopped_at_exit(home):
        yield runner
        runner.run("down")


@pytest.mark.system
def test_up_status_crash_and_down(machine: Runner) -> None:
    home = Path(machine.env["SIGHTLINE_HOME"])
    assert _status(machine, exit_code=1)["kafka"]["up"] is False

    # Two commands at once: one starts the services, the other finds them started.
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda _: machine.run("up"), range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stdout == second.stdout
    found = _status(machine)
    assert found["kafka"]["up"] and found["redis"]["up"]
    started = _state(home)
    _write(found["kafka"]["bootstrap_servers"], "kept", b"before")

    os.kill(started.pids["kafka-1"], signal.SIGKILL)
    os.kill(started.pids["valkey"], signal.SIGKILL)
    _until(lambda: not _status(machine, exit_code=1)["kafka"]["up"])
    crashed = machine.run("status")
    assert "broker 1 has crashed" in crashed.stdout
    assert started.redis_url is not None and started.redis_url in crashed.stdout

    assert machine.run("up").returncode == 0
    healed = _state(home)
    assert healed.bootstrap_servers == started.bootstrap_servers
    assert healed.pids["kafka-1"] != started.pids["kafka-1"]
    assert _read(str(healed.bootstrap_servers), "kept") == [b"before"]

    began = time.monotonic()
    stopped = machine.run("down")
    assert (stopped.returncode, stopped.stdout) == (0, "stopped\n")
    assert time.monotonic() - began < 15
    assert machine.run("down").stdout == "nothing was running\n"
    assert not any(_exists(pid) for pid in healed.pids.values())


def test_stale_and_missing_pids_heal(machine: Runner) -> None:
    home = Path(machine.env["SIGHTLINE_HOME"])
    assert machine.run("up").returncode == 0
    state = _state(home)
    assert state.valkey is not None

    # The command that started them died before it stored the pids: running services are found, not started twice.
    forgotten = replace(state, valkey=replace(state.valkey, process=None))
    write_state(home, forgotten.with_broker(replace(state.brokers[0], process=None)))
    assert machine.run("up").returncode == 0
    assert _state(home) == state

    # After a reboot another process may have the pid: it is neither taken for the broker nor stopped.
    assert machine.run("down").returncode == 0
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    try:
        stale = ProcessRef(stranger.pid, "an earlier boot:1", str(home / "kafka" / "broker-1" / "server.properties"))
        down = _state(home)
        write_state(home, down.with_broker(replace(down.brokers[0], process=stale)))
        assert machine.run("down").returncode == 0
        write_state(home, down.with_broker(replace(down.brokers[0], process=stale)))
        assert machine.run("up").returncode == 0
        assert _state(home).pids["kafka-1"] != stranger.pid
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_port_that_was_taken_meanwhile_is_replaced(machine: Runner) -> None:
    home = Home(Path(machine.env["SIGHTLINE_HOME"]))
    kafka = ControlledKafka(home, jars_home=JARS_HOME)
    kafka.prepare(1)
    taken = kafka.broker(1)
    with _listening(taken.client_port):
        kafka.start(timeout_s=180)
        assert kafka.broker(1).client_port != taken.client_port
        assert kafka.broker(1).controller_port == taken.controller_port
        assert answering_brokers(kafka.bootstrap_servers, timeout_s=5.0) == {1}
        kafka.kill_broker(1)
        # A single broker keeps its ports, because clients know them: another process there is an error that names it.
        with _listening(kafka.broker(1).client_port), pytest.raises(Unavailable, match="another program has taken it"):
            kafka.start_broker(1)


@pytest.mark.system
def test_three_brokers_one_at_a_time(tmp_path: Path) -> None:
    topic = "three"
    with local_services(tmp_path / "three", brokers=3) as services:
        kafka = services.kafka
        assert kafka is not None
        with pytest.raises(ConfigError, match=r"holds a Kafka of 3 broker\(s\), not 1"):
            kafka.start(1)
        client = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
        client.create_topics([NewTopic(topic, 1)])[topic].result(30)
        # The other brokers learn of a new topic a moment later.
        wait_for(lambda: 0 in client.list_topics(topic, timeout=30).topics[topic].partitions, 30, "the new topic")
        described = client.list_topics(topic, timeout=30).topics[topic].partitions[0]
        assert sorted(described.replicas) == [1, 2, 3]

        for leader_goes in (kafka.kill_broker, kafka.stop_broker):
            leader = client.list_topics(topic, timeout=30).topics[topic].partitions[0].leader
            leader_goes(leader)
            assert kafka.pid(leader) is None
            began = time.monotonic()
            _write(kafka.bootstrap_servers, topic, b"while one is away")
            assert time.monotonic() - began < 20
            kafka.start_broker(leader)
            assert kafka.pid(leader) is not None
        assert answering_brokers(kafka.bootstrap_servers, timeout_s=10.0) == {1, 2, 3}
        assert _read(kafka.bootstrap_servers, topic) == [b"while one is away"] * 2


def test_another_disk_another_port_other_settings(tmp_path: Path) -> None:
    home, data, proxy_port = Home(tmp_path / "home"), tmp_path / "another disk", find_ports(1)[0]
    kafka = ControlledKafka(home, jars_home=JARS_HOME, data_dirs={1: data}, properties={"message.max.bytes": "2000000"})
    with stopped_at_exit(home.path):
        kafka.prepare(1)
        write_state(home.path, replace(_state(home.path), cluster_id="-AAAAAAAAAAAAAAAAAAAAA"))
        kafka.advertise({1: proxy_port})
        kafka.start(timeout_s=180)
        try:
            direct = f"127.0.0.1:{kafka.broker(1).client_port}"
            assert kafka.bootstrap_servers == f"127.0.0.1:{proxy_port}"
            metadata = AdminClient({"bootstrap.servers": direct}).list_topics(timeout=30)
            assert [broker.port for broker in metadata.brokers.values()] == [proxy_port]
            assert (data / "meta.properties").exists()
            assert "message.max.bytes=2000000\n" in (kafka.folder(1) / "server.properties").read_text()
        finally:
            kafka.stop()


def test_a_broker_that_cannot_start_says_why(tmp_path: Path) -> None:
    kafka = ControlledKafka(Home(tmp_path), jars_home=JARS_HOME, properties={"log.cleaner.threads": "none"})
    with stopped_at_exit(tmp_path), pytest.raises(Unavailable, match=r"log\.cleaner\.threads"):
        kafka.start(1, timeout_s=180)
    assert kafka.pid(1) is None


def _status(machine: Runner, exit_code: int = 0) -> dict[str, Any]:
    done = machine.run("status", "--json")
    assert done.returncode == exit_code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _state(home: Path) -> LocalState:
    state = read_state(home)
    assert state is not None
    return state


def _write(bootstrap: str, topic: str, value: bytes) -> None:
    client = AdminClient({"bootstrap.servers": bootstrap})
    if topic not in client.list_topics(timeout=30).topics:
        client.create_topics([NewTopic(topic, 1)])[topic].result(30)
    failed: list[object] = []
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    producer.produce(topic, value, on_delivery=lambda error, _message: failed.append(error) if error else None)
    assert producer.flush(60) == 0 and not failed, failed


def _read(bootstrap: str, topic: str) -> list[bytes]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reader",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    consumer.subscribe([topic])
    values: list[bytes] = []
    until = time.monotonic() + 60
    while time.monotonic() < until:
        message = consumer.poll(1.0)
        if message is not None and message.error() is not None:
            break
        if message is not None:
            values.append(message.value() or b"")
    consumer.close()
    return values


def _until(condition: Any, timeout_s: float = 30.0) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").exists() and bool(Path(f"/proc/{pid}/cmdline").read_bytes())


def _listening(port: int) -> Any:
    import socket

    assert port_is_free(port)
    return socket.create_server(("127.0.0.1", port))
