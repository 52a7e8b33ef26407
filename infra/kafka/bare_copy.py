"""The least that a copy from topic to topic takes. For the benchmark that compares a replay with it."""

from collections.abc import Iterable

import confluent_kafka

from infra.kafka.clients import consumer, new_client, producer_config
from infra.kafka.spans import Span
from infra.settings import Settings

POLL_MESSAGES, POLL_S, FLUSH_S = 500, 0.2, 60.0


def bare_copy(settings: Settings, spans: Iterable[Span], topic: str) -> int:
    """Write the records of the ranges to the same partitions of `topic`, as fast as one thread does; returns how many.

    For topics without gaps, on brokers that stay: it ends by counting, and handles no error.
    """
    wanted = [span for span in spans if len(span)]
    left = sum(map(len, wanted))
    source = consumer(settings, "sightline-bare-copy")
    producer = new_client(confluent_kafka.Producer, producer_config(settings), "kafka.producer")
    source.assign([confluent_kafka.TopicPartition(span.topic, span.partition, span.start) for span in wanted])
    copied = 0
    while copied < left:
        for message in source.consume(POLL_MESSAGES, POLL_S):
            while True:
                try:
                    producer.produce(
                        topic,
                        message.value(),
                        message.key(),
                        partition=message.partition() or 0,
                        headers=message.headers(),
                    )
                    break
                except BufferError:
                    producer.poll(POLL_S)
            copied += 1
        producer.poll(0)
    producer.flush(FLUSH_S)
    source.close()
    return copied
