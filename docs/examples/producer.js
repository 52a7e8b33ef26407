// A producer of one's own in JavaScript: sends pictures as frames, with kafkajs and avsc alone.
//
//     npm install kafkajs avsc
//     node producer.js BROKERS SOURCE_ID PICTURE...      (run where schemas/frame.avsc is)
//
// The key is the source id, so that the frames of a source stay in order.
const fs = require("fs");
const avro = require("avsc");
const { Kafka, logLevel, Partitioners } = require("kafkajs");

const [brokers, sourceId, ...pictures] = process.argv.slice(2);
const schema = avro.Type.forSchema(JSON.parse(fs.readFileSync("schemas/frame.avsc", "utf8")));

// Avro's own fingerprint of a schema, CRC-64-AVRO, in front of each value with C3 01.
function fingerprint(text) {
  const EMPTY = 0xc15d213aa4d7a795n;
  let crc = EMPTY;
  for (const byte of Buffer.from(text)) {
    let entry = (crc ^ BigInt(byte)) & 0xffn;
    for (let bit = 0; bit < 8; bit++) entry = (entry >> 1n) ^ (entry & 1n ? EMPTY : 0n);
    crc = (crc >> 8n) ^ entry;
  }
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(crc);
  return bytes;
}

function kindOf(image) {
  if (image.subarray(0, 3).equals(Buffer.from([0xff, 0xd8, 0xff]))) return "JPEG";
  return image.subarray(1, 4).toString() === "PNG" ? "PNG" : "OTHER";
}

async function main() {
  const kafka = new Kafka({ clientId: "producer.js", brokers: brokers.split(","), logLevel: logLevel.ERROR });
  const producer = kafka.producer({ idempotent: true, createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  const prefix = Buffer.concat([Buffer.from([0xc3, 0x01]), fingerprint(JSON.stringify(schema.schema()))]);
  const epoch = Date.now();
  for (const [number, picture] of pictures.entries()) {
    const image = fs.readFileSync(picture);
    const now = Date.now();
    const frame = {
      frame_id: `${sourceId}/${epoch}/${number}`, source_id: sourceId, source_kind: "UPLOAD",
      stream_epoch: epoch, frame_seq: number, captured_at: now * 1000, received_at: now * 1000,
      encoding: kindOf(image), image, uri: picture, attributes: { program: "producer.js" },
    };
    const value = Buffer.concat([prefix, schema.toBuffer(frame)]);
    // Resolves once all in-sync replicas have the frame, and throws when they do not get it.
    await producer.send({ topic: "frames.raw", acks: -1, messages: [{ key: sourceId, value, timestamp: String(now) }] });
    console.log(frame.frame_id);
  }
  await producer.disconnect();
}

main().catch((error) => { console.error(error); process.exit(1); });
