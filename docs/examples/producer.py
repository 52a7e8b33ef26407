"""A producer of one's own: sends pictures as frames, with confluent-kafka and fastavro alone.

    python producer.py BROKERS SOURCE_ID PICTURE...      (run where schemas/frame.avsc is)

The key is the source id, so that the frames of a source stay in order; a source with several processes needs several
ids. `stream_epoch` grows with each start, and `frame_seq` counts from 0 in it.
"""

import io
import json
import sys
import time
from pathlib import Path

import confluent_kafka
import fastavro

brokers, source_id, *pictures = sys.argv[1:]
schema = json.loads(Path("schemas/frame.avsc").read_text())
canonical = fastavro.schema.to_parsing_canonical_form(schema)
single_object = b"\xc3\x01" + bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))
parsed = fastavro.parse_schema(schema)
producer = confluent_kafka.Producer(
    {"bootstrap.servers": brokers, "acks": "all", "enable.idempotence": True, "message.max.bytes": 8 * 1024 * 1024}
)
epoch = time.time_ns() // 1_000_000
refused: list[str] = []
for number, picture in enumerate(pictures):
    image, now_us = Path(picture).read_bytes(), time.time_ns() // 1_000
    kind = "JPEG" if image[:3] == b"\xff\xd8\xff" else "PNG" if image[:4] == b"\x89PNG" else "OTHER"
    frame: dict[str, object] = {
        "frame_id": f"{source_id}/{epoch}/{number}", "source_id": source_id, "source_kind": "UPLOAD",
        "stream_epoch": epoch, "frame_seq": number, "captured_at": now_us, "received_at": now_us,
        "encoding": kind, "image": image, "uri": picture, "attributes": {"program": "producer.py"},
    }  # fmt: skip
    body = io.BytesIO()
    fastavro.schemaless_writer(body, parsed, frame)
    producer.produce(
        "frames.raw", single_object + body.getvalue(), source_id, timestamp=now_us // 1_000,
        on_delivery=lambda error, _message: refused.append(str(error)) if error else None,
    )  # fmt: skip
    producer.poll(0)
    print(frame["frame_id"])
if producer.flush(30) or refused:
    sys.exit(f"not all frames were written: {refused[:3]}")
