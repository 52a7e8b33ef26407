"""Names and settings of the topics (contract), and of the consumer groups, per lane."""

from dataclasses import dataclass, replace
from typing import Literal

from infra.settings import MIB, Settings, TopicSettings

Lane = Literal["live", "replay"]
HOUR_MS = 3_600_000
# Unless the settings give another; brokers know clients by it, as in their quotas.
CLIENT_ID = "sightline"
# Dead letters carry their frame and up to this much of headers more.
DEAD_HEADROOM_BYTES = MIB
# Kafka's own limit of a record, which the topics of labels keep.
LABEL_BYTES_DEFAULT = 1_048_588


@dataclass(frozen=True, slots=True)
class TopicNames:
    """The topics of one lane; all from the reviews on are shared by both."""

    frames: str
    batches: str
    labels: str
    review: str
    retry: str
    dead: str
    labels_dead: str
    status: str
    progress: str
    webhooks: str

    @staticmethod
    def for_lane(prefix: str, lane: Lane = "live") -> "TopicNames":
        frames, batches, labels = (
            ("frames.raw", "frames.batches", "labels")
            if lane == "live"
            else ("frames.replay", "batches.replay", "labels.replay")
        )
        names = (
            frames,
            batches,
            labels,
            "labels.review",
            "frames.retry",
            "frames.dead",
            "labels.dead",
            "pipeline.status",
            "replay.progress",
            "webhooks.retry",
        )
        return TopicNames(*(prefix + name for name in names))

    def outcomes(self, lane: Lane) -> tuple[str, ...]:
        """The topics that the stages of the lane write outcomes to. Only live labels are reviewed by people."""
        review = (self.review,) if lane == "live" else ()
        return (self.labels, *review, self.retry, self.dead)


@dataclass(frozen=True, slots=True)
class TopicSpec:
    name: str
    partitions: int
    config: dict[str, str]


def group(kind: str, prefix: str, lane: Lane = "live") -> str:
    """The consumer group `sightline-<kind>` of a deployment, `-replay` behind it on the replay lane."""
    return f"{prefix}sightline-{kind}" + ("-replay" if lane == "replay" else "")


def specs(settings: Settings) -> list[TopicSpec]:
    """Every topic with the settings it must have."""
    live, replay = (TopicNames.for_lane(settings.topic_prefix, lane) for lane in ("live", "replay"))
    topics = settings.topics
    frame_bytes, dead_bytes = (
        str(topics.max_frame_bytes),
        str(topics.max_frame_bytes + DEAD_HEADROOM_BYTES),
    )
    as_sent = {"compression.type": "producer"}  # JPEG does not shrink, and with a named codec the broker would try
    # The broker stores frames uncompressed whatever the producer did: the stage's client does not know every codec, and
    # its limits are in real bytes.
    plain = {"compression.type": "uncompressed"}
    text = {"compression.type": "zstd"}
    # Retention goes by the time of a record, and one record of the year 2099 would keep its whole partition for ever.
    # Our producers stay within 5 minutes of their own clock (`ingest.publish.record_time`). The limit lets machines
    # through that take local time for UTC, and nothing is kept for longer than twice the retention.
    not_ahead = {"message.timestamp.after.max.ms": str(topics.frames_retention_h * HOUR_MS)}
    # A replay sends frames of long ago, which must not be removed at once.
    as_appended = {"message.timestamp.type": "LogAppendTime"}
    table = [
        (
            live.frames,
            topics.frames_retention_h,
            {**plain, **not_ahead, "max.message.bytes": frame_bytes},
        ),
        (
            live.batches,
            topics.batches_retention_h,
            {**as_sent, "max.message.bytes": frame_bytes},
        ),
        (live.labels, topics.labels_retention_h, text),
        (live.review, topics.review_retention_h, text),
        (
            live.retry,
            topics.retry_retention_h,
            {**as_sent, "max.message.bytes": dead_bytes},
        ),
        (
            live.dead,
            topics.dead_retention_h,
            {**as_sent, "max.message.bytes": dead_bytes},
        ),
        (
            replay.frames,
            topics.frames_retention_h,
            {**plain, **as_appended, "max.message.bytes": frame_bytes},
        ),
        (
            replay.batches,
            topics.frames_retention_h,
            {**as_sent, "max.message.bytes": frame_bytes},
        ),
        (replay.labels, topics.frames_retention_h, text),
        (
            live.labels_dead,
            topics.dead_retention_h,
            {**text, "max.message.bytes": str(LABEL_BYTES_DEFAULT + DEAD_HEADROOM_BYTES)},
        ),
        (live.webhooks, settings.gateway.webhooks_retention_h, text),
        # The last word of each process. What a process that was killed said is gone after an hour.
        (
            live.status,
            1,
            {**text, "cleanup.policy": "compact,delete", "segment.ms": str(HOUR_MS // 4)},
        ),
    ]
    # One partition: the order of its records decides which of two replays that start at once has the lane.
    progress = _spec(topics, live.progress, 1, {**text, "cleanup.policy": "compact", "segment.ms": str(6 * HOUR_MS)})
    return [
        *(_spec(topics, name, retention_h, config) for name, retention_h, config in table),
        replace(progress, partitions=1),
    ]


def _spec(topics: TopicSettings, name: str, retention_h: int, config: dict[str, str]) -> TopicSpec:
    common = {
        "retention.ms": str(retention_h * HOUR_MS),
        "message.timestamp.type": "CreateTime",
        # What the stages write has the time of their own clock, and must not be refused when that is ahead.
        "message.timestamp.after.max.ms": str(2**63 - 1),
        "cleanup.policy": "delete",
    }
    if topics.min_insync_replicas:
        common["min.insync.replicas"] = str(topics.min_insync_replicas)
    return TopicSpec(name, topics.partitions, {**common, **config})
