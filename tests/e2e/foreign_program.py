"""A program that knows the schemas and the design and nothing else: publishes one Frame, waits for its Label.

Run by test_interop.py from a folder of its own, with confluent-kafka and fastavro alone.
Arguments: the brokers, the topic prefix, the folder of the .avsc files, an image. Prints the Label as JSON.
"""

# mypy: ignore-errors
import io
import json
import sys
import time
from pathlib import Path

import confluent_kafka
import fastavro

brokers, prefix, schema_folder, image = sys.argv[1:]


def framing(schema):
    canonical = fastavro.schema.to_parsing_canonical_form(schema)
    return b"\xc3\x01" + bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))


frame_schema = json.loads((Path(schema_folder) / "frame.avsc").read_text())
label_schema = json.loads((Path(schema_folder) / "label.avsc").read_text())

now_us = time.time_ns() // 1000
frame = {
    "frame_id": "foreign/1/1",
    "source_id": "foreign",
    "source_kind": "UPLOAD",
    "stream_epoch": 1,
    "frame_seq": 1,
    "captured_at": now_us,
    "received_at": now_us,
    "encoding": "JPEG",
    "image": Path(image).read_bytes(),
}
body = io.BytesIO()
fastavro.schemaless_writer(body, fastavro.parse_schema(frame_schema), frame)
producer = confluent_kafka.Producer({"bootstrap.servers": brokers, "acks": "all", "message.max.bytes": 9_000_000})
producer.produce(f"{prefix}frames.raw", key="foreign", value=framing(frame_schema) + body.getvalue())
assert producer.flush(30) == 0

consumer = confluent_kafka.Consumer(
    {"bootstrap.servers": brokers, "group.id": f"{prefix}foreign-program", "auto.offset.reset": "earliest"}
)
consumer.subscribe([f"{prefix}labels"])
until = time.monotonic() + 120
while time.monotonic() < until:
    message = consumer.poll(1.0)
    if message is None or message.error():
        continue
    value = message.value()
    assert value[:10] == framing(label_schema), value[:10]
    label = fastavro.schemaless_reader(io.BytesIO(value[10:]), fastavro.parse_schema(label_schema))
    if label["frame_id"] == "foreign/1/1":
        print(json.dumps({**label, "key": message.key().decode()}, default=str))
        break
consumer.close()
