"""Catch up with the labels since a time, then follow them live: none is left out, and none comes twice.

    python docs/examples/catch_up_and_follow.py BROKERS SINCE_HOURS [TOPIC]

Needs confluent-kafka and fastavro, and nothing of Sightline but its schemas. Prints one JSON object a line; a line on
stderr tells when the past is over.

The place at which the past ends is an offset of each partition, and one consumer reads on across it. A time would not
do: a label with an earlier time can be written after one has looked. Nor would a count: transactions leave markers
between the records.
"""

import io
import json
import sys
import time
from pathlib import Path
from typing import Any

import confluent_kafka
import fastavro
from confluent_kafka import KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
TIMEOUT_S = 30.0


class Labels:
    """Reads labels of every version: the first ten bytes of a value say which one wrote it."""

    def __init__(self) -> None:
        self._newest = fastavro.parse_schema(json.loads((SCHEMAS / "label.avsc").read_text()))
        self._versions: dict[bytes, Any] = {}
        for file in (SCHEMAS / "history" / "label").glob("*.avsc"):
            schema = json.loads(file.read_text())
            fingerprint = fastavro.schema.fingerprint(fastavro.schema.to_parsing_canonical_form(schema), "CRC-64-AVRO")
            self._versions[b"\xc3\x01" + bytes.fromhex(fingerprint)] = fastavro.parse_schema(schema)

    def read(self, value: bytes) -> dict[str, Any]:
        version = self._versions[value[:10]]
        label: Any = fastavro.schemaless_reader(io.BytesIO(value[10:]), version, self._newest)
        return dict(label)


def main(brokers: str, since_hours: float, topic: str = "labels") -> None:
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "not-used",  # nothing is committed, so any number of such programs may run
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    partitions = sorted(consumer.list_topics(topic, TIMEOUT_S).topics[topic].partitions)

    # Where the past ends: fixed once, before anything is read. Records that come later are the present.
    latest = {TopicPartition(topic, number): OffsetSpec.latest() for number in partitions}  # type: ignore[no-untyped-call]
    admin = AdminClient({"bootstrap.servers": brokers})  # its answers come only while it exists
    answers = admin.list_offsets(latest, isolation_level=confluent_kafka.IsolationLevel.READ_COMMITTED)
    ends = {place.partition: answer.result(TIMEOUT_S).offset for place, answer in answers.items()}

    since_ms = int((time.time() - since_hours * 3600) * 1000)
    wanted = [TopicPartition(topic, number, since_ms) for number in partitions]
    starts = {place.partition: place.offset for place in consumer.offsets_for_times(wanted, TIMEOUT_S)}
    # -1: no label is that late, so this partition begins with the present.
    begin = {number: ends[number] if starts[number] < 0 else starts[number] for number in partitions}
    consumer.assign([TopicPartition(topic, number, begin[number]) for number in partitions])

    labels = Labels()
    past = {number for number in partitions if begin[number] < ends[number]}
    if not past:
        print("caught up", file=sys.stderr, flush=True)
    while True:
        message = consumer.poll(1.0)
        if message is None:
            continue
        error, number, offset = message.error(), message.partition() or 0, message.offset() or 0
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise confluent_kafka.KafkaException(error)
        # The end of a partition is reached by position: its last records may be markers, which nobody is given.
        position = offset + (error is None)
        # The broker finds the first record of that time, which may be a marker: older labels can lie behind it.
        is_older = offset < ends[number] and message.timestamp()[1] < since_ms
        if error is None and not is_older:
            label = labels.read(message.value() or b"")
            line = {**label, "topic": topic, "partition": number, "offset": offset}
            print(json.dumps(line, default=str), flush=True)
        if number in past and position >= ends[number]:
            past.discard(number)
            if not past:
                print("caught up", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), *sys.argv[3:])
