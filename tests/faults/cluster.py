"""Three brokers and a Valkey, each behind a proxy of its own, so that a network can fail as well as a process."""

import json
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient

from infra.local.home import Home
from tests.support.controlled_services import ControlledKafka, ControlledValkey
from tests.support.proxy import TcpProxy
from tests.support.services import JARS_HOME, Services, stopped_at_exit

BROKERS = (1, 2, 3)
READY_TIMEOUT_S = 180.0


@dataclass(frozen=True)
class Cluster:
    """All clients connect through the proxies; the brokers connect to each other directly."""

    services: Services
    kafka: ControlledKafka
    valkey: ControlledValkey
    broker_lines: Mapping[int, TcpProxy]
    redis_line: TcpProxy

    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.services.bootstrap_servers, "log_level": 0})

    def leader(self, topic: str, partition: int) -> int:
        """The broker that leads the partition now."""
        return int(self.admin().list_topics(topic, timeout=30).topics[topic].partitions[partition].leader)

    def led_by_no_controller(self, topic: str) -> int:
        """A broker that leads a partition of the topic and is not the active controller."""
        partitions, controller = self.admin().list_topics(topic, timeout=30).topics[topic].partitions, self.controller()
        return next(int(one.leader) for one in partitions.values() if one.leader != controller)

    def controller(self) -> int:
        """The active controller, read from the quorum state of the nodes; clients that ask are given any broker."""
        notes = [
            json.loads((self.kafka.folder(broker) / "metadata/__cluster_metadata-0/quorum-state").read_text())
            for broker in BROKERS
        ]
        return int(max(notes, key=lambda note: int(note["leaderEpoch"]))["leaderId"])

    def group_coordinator(self, group: str) -> int:
        """The broker that keeps the group's offsets and members."""
        admin = self.admin()
        return int(admin.describe_consumer_groups([group])[group].result(30).coordinator.id)

    def heal(self) -> None:
        """Start what does not run and restore every connection. What is healthy already is left alone."""
        for line in (*self.broker_lines.values(), self.redis_line):
            line.restore()
        self.kafka.start(timeout_s=READY_TIMEOUT_S)
        self.start_valkey()

    def start_broker(self, broker_id: int) -> None:
        """Start one broker; returns when it answers."""
        self.kafka.start_broker(broker_id, READY_TIMEOUT_S)

    def wait_in_sync(self, timeout_s: float = 60.0) -> None:
        """Wait until every replica of every partition is in sync, so that any broker may fail next."""
        admin, until_s = self.admin(), time.monotonic() + timeout_s
        while behind := _behind(admin.list_topics(timeout=30).topics):
            if time.monotonic() > until_s:
                raise AssertionError(f"replicas are not in sync after {timeout_s:g} s: {behind[:10]}")
            time.sleep(0.2)

    def forget_cache(self) -> None:
        """Delete the data that Valkey saved, so that it starts empty. Call it only while Valkey is stopped."""
        for file in self.valkey.folder.glob("*.rdb"):
            file.unlink()

    def start_valkey(self) -> None:
        self.valkey.start()
        # When its port was taken meanwhile, it listens on another one.
        self.redis_line.target_port = port_of(self.valkey.url)


@contextmanager
def cluster(home_path: Path, rng: random.Random, data_dirs: Mapping[int, Path] | None = None) -> Iterator[Cluster]:
    """A new cluster in that folder. It is stopped at the end of the block, and also when this process is killed."""
    home = Home(home_path)
    kafka = ControlledKafka(home, jars_home=JARS_HOME, data_dirs=data_dirs, heap_mib=384)
    valkey = ControlledValkey(home)
    lines: list[TcpProxy] = []
    with stopped_at_exit(home_path):
        try:
            kafka.prepare(len(BROKERS))
            lines = [TcpProxy(broker.client_port, rng=rng) for broker in kafka.brokers]
            broker_lines = dict(zip((broker.broker_id for broker in kafka.brokers), lines, strict=True))
            kafka.advertise({broker_id: line.port for broker_id, line in broker_lines.items()})
            valkey.start()
            kafka.start(timeout_s=READY_TIMEOUT_S)
            redis_line = TcpProxy(port_of(valkey.url), rng=rng)
            lines.append(redis_line)
            redis_url = f"redis://127.0.0.1:{redis_line.port}/0"
            services = Services(kafka.bootstrap_servers, redis_url, home_path, kafka, valkey)
            yield Cluster(services, kafka, valkey, broker_lines, redis_line)
        finally:
            for line in lines:
                line.close()
            kafka.stop()
            valkey.stop()


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


def _behind(topics: Mapping[str, Any]) -> list[str]:
    partitions = ((name, number, one) for name, topic in topics.items() for number, one in topic.partitions.items())
    return [f"{name}/{number}" for name, number, one in partitions if set(one.isrs) != set(one.replicas)]
