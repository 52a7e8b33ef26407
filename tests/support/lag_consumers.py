"""Consumers of a topic that are healthy, stuck or rewound, and a writer, for tests of the lag monitor."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from tests.support.deployment import Deployment

POLL_S = 0.05


def write(deployment: Deployment, topic: str, count: int, partition: int = 0) -> None:
    """Write records to one partition and wait until they are there."""
    producer = Producer({"bootstrap.servers": deployment.services.bootstrap_servers})
    for number in range(count):
        producer.produce(topic, f"{number}".encode(), partition=partition)
    assert producer.flush(30) == 0


def commit(deployment: Deployment, group: str, topic: str, offset: int, partition: int = 0) -> None:
    """Commit as a group without a member."""
    consumer, end_s = _consumer(deployment, group), time.monotonic() + 30
    while True:
        try:
            consumer.commit(offsets=[TopicPartition(topic, partition, offset)], asynchronous=False)
        except KafkaException as error:
            # A topic that was just created is unknown to the coordinator for a moment.
            assert error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART and time.monotonic() < end_s, error
            time.sleep(0.1)
        else:
            break
    consumer.close()


@contextmanager
def reading(
    deployment: Deployment,
    group: str,
    topic: str,
    *,
    commits: bool = True,
    protocol: str = "classic",
    pause_s: float = 0.0,
) -> Iterator[None]:
    """A member that reads the topic, and commits what it has read every time unless it is stuck.

    `pause_s`: how long it takes for each record.
    """
    consumer = _consumer(deployment, group, protocol)
    consumer.subscribe([topic])

    def step() -> None:
        message = consumer.poll(POLL_S)
        if message is not None and message.error() is None and commits:
            consumer.commit(message=message, asynchronous=False)
            time.sleep(pause_s)

    try:
        with _repeated(step):
            yield
    finally:
        consumer.close()


@contextmanager
def writing(deployment: Deployment, topic: str, pause_s: float = 0.1) -> Iterator[None]:
    """Records come to partition 0 without an end."""
    producer = Producer({"bootstrap.servers": deployment.services.bootstrap_servers})
    stop = threading.Event()

    def step() -> None:
        producer.produce(topic, b"more", partition=0)
        producer.poll(0)
        stop.wait(pause_s)

    with _repeated(step):
        yield
    producer.flush(30)


@contextmanager
def _repeated(step: Callable[[], None]) -> Iterator[None]:
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            step()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _consumer(deployment: Deployment, group: str, protocol: str = "classic") -> Consumer:
    keys: dict[str, str | bool] = {
        "bootstrap.servers": deployment.services.bootstrap_servers,
        "group.id": group,
        "group.protocol": protocol,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    return Consumer(keys)
