"""The settings of a local broker, as data: those that differ from Kafka's defaults, and why. Pure."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.local.state import BrokerState

_MIB = 1024 * 1024

# The largest record has 9 MiB, on frames.dead; brokers, replication and sockets must all pass it with its headers.
_MAX_MESSAGE_BYTES = 10 * _MIB


def broker_properties(
    broker: BrokerState, all_brokers: Sequence[BrokerState], folder: Path, data: Path
) -> dict[str, str]:
    """Every node is broker and controller. `folder` holds its metadata, `data` its topics, also on another disk."""
    ports = {
        "CLIENT": broker.client_port,
        "INTERNAL": broker.internal_port,
        "CONTROLLER": broker.controller_port,
    }
    advertised = {"CLIENT": broker.advertised_port, "INTERNAL": broker.internal_port}
    return {
        "process.roles": "broker,controller",
        "node.id": str(broker.broker_id),
        "controller.quorum.voters": ",".join(f"{b.broker_id}@127.0.0.1:{b.controller_port}" for b in all_brokers),
        "listeners": _listeners(ports),
        "advertised.listeners": _listeners(advertised),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in ports),
        # The brokers have a listener of their own, so that a proxy in front of a broker cuts off its clients only.
        "inter.broker.listener.name": "INTERNAL",
        "controller.listener.names": "CONTROLLER",
        # In a folder of its own, so that a full disk under the topics does not stop the controller.
        "metadata.log.dir": str(folder / "metadata"),
        "log.dirs": str(data),
        **_replication(len(all_brokers)),
        **_LIMITS,
        **_GROUPS,
        **_FAIL_OVER,
    }


def _listeners(ports: Mapping[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())


def _replication(brokers: int) -> dict[str, str]:
    """With three brokers any one of them may fail; a single broker has no other to copy to."""
    factor, min_isr = ("3", "2") if brokers >= 3 else ("1", "1")
    return {
        "default.replication.factor": factor,
        "min.insync.replicas": min_isr,
        "offsets.topic.replication.factor": factor,
        "transaction.state.log.replication.factor": factor,
        "transaction.state.log.min.isr": min_isr,
        "share.coordinator.state.topic.replication.factor": factor,
        "share.coordinator.state.topic.min.isr": min_isr,
    }


_LIMITS = {
    # A misspelt topic name is an error and does not create a topic with one partition.
    "auto.create.topics.enable": "false",
    "message.max.bytes": str(_MAX_MESSAGE_BYTES),
    "replica.fetch.max.bytes": str(_MAX_MESSAGE_BYTES),
    "replica.fetch.response.max.bytes": str(4 * _MAX_MESSAGE_BYTES),
    # The default of 50 partitions each is slow to create and to load on one machine.
    "offsets.topic.num.partitions": "12",
    "transaction.state.log.num.partitions": "12",
    "share.coordinator.state.topic.num.partitions": "3",
    # A group's offsets are kept as long as the labels that it may have to read (by default a week without a member).
    "offsets.retention.minutes": str(30 * 24 * 60),
    # The disk space of deleted topics is freed soon.
    "log.retention.check.interval.ms": "60000",
    "file.delete.delay.ms": "10000",
    "unclean.leader.election.enable": "false",
}

_GROUPS = {
    # By default the first member of a group waits 3 s for others.
    "group.initial.rebalance.delay.ms": "0",
    # A killed member is noticed within 6 s, in both group protocols (by default 45 s, and nothing lower is allowed).
    "group.min.session.timeout.ms": "6000",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.session.timeout.ms": "6000",
    "group.consumer.heartbeat.interval.ms": "1500",
    "group.consumer.min.heartbeat.interval.ms": "1000",
}

_FAIL_OVER = {
    # A dead leader is replaced within 5 s even when it was the active controller too (by default 9 s after 2 to 3 s).
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "400",
    # A follower that asks its new leader too early asks again after this time, and acks=all waits too (default 1 s).
    "replica.fetch.backoff.ms": "100",
    "controller.quorum.fetch.timeout.ms": "1000",
    "controller.quorum.election.timeout.ms": "400",
    "controller.quorum.election.backoff.max.ms": "200",
}


def to_text(properties: Mapping[str, str]) -> str:
    """The text of a properties file, in ASCII: a backslash is doubled, what Latin-1 lacks is escaped as UTF-16."""
    return "".join(f"{key}={_escaped(value)}\n" for key, value in properties.items())


def _escaped(value: str) -> str:
    text = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    text = f"\\{text}" if text.startswith(" ") else text
    return "".join(letter if letter.isascii() else _utf_16(letter) for letter in text)


def _utf_16(letter: str) -> str:
    data = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{data[place]:02x}{data[place + 1]:02x}" for place in range(0, len(data), 2))
