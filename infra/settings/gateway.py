"""The section of the upload gateway."""

from typing import Annotated

from pydantic import Field

from infra.settings.base import MIB, Positive, Section


class GatewaySettings(Section):
    """`port` 0 takes a free one and logs it. `state`: the folder of keys and idempotency; empty: in the home folder.

    `shards`: an upload's source id is `<key name>.<shard>`, so that one key does not end on one partition.
    `max_body_bytes` and `max_files`: of one request. `max_pixels`: what a picture's header may declare.
    `max_buffer_bytes`: all bodies that are read or wait for Kafka together. `frames_per_s`: of a key that has no rate
    of its own. `max_backlog_frames`: uploads are refused while more frames wait before the bottleneck.
    `ack_timeout_ms`: how long an upload waits for Kafka. `ring_labels`, `ring_bytes`: the newest labels that are kept
    for their readers; at a start those of the last `look_back_s` are read again. `idempotency_h`,
    `idempotency_entries`: how long answers are kept for repeated requests, and how many at most.
    `webhook_delays_s`: from one attempt to the next, the last one repeated until the retention of `webhooks.retry`.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    state: str = ""
    shards: Annotated[int, Field(ge=1, le=256)] = 16
    max_body_bytes: Positive = 32 * MIB
    max_files: Annotated[int, Field(ge=1, le=1_000)] = 64
    max_pixels: Positive = 50_000_000
    max_buffer_bytes: Positive = 128 * MIB
    max_waiting_requests: Positive = 1_000
    body_timeout_s: Positive = 30
    frames_per_s: Annotated[float, Field(gt=0)] = 100.0
    max_backlog_frames: Positive = 10_000
    ack_timeout_ms: Annotated[int, Field(ge=100, le=6_000)] = 5_000
    max_wait_s: Annotated[int, Field(ge=0, le=300)] = 60
    ring_labels: Positive = 100_000
    ring_bytes: Positive = 64 * MIB
    look_back_s: Annotated[int, Field(ge=0)] = 600
    idempotency_h: Positive = 24
    idempotency_entries: Positive = 100_000
    max_webhooks: Positive = 100_000
    webhook_timeout_s: Positive = 10
    webhook_delays_s: tuple[Positive, ...] = (5, 30, 120, 600, 3_600)
    webhooks_retention_h: Positive = 3 * 24
