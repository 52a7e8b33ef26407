"""The sections that all processes share: Kafka, topics, Redis, retries and the circuit breaker, HTTP, logs."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator

from infra.settings.addresses import broker_addresses
from infra.settings.base import MIB, Positive, Section, Share
from infra.settings.client_keys import Value, client_keys

ClientKeys = Annotated[dict[str, Value], BeforeValidator(client_keys)]


class KafkaSettings(Section):
    """Empty `bootstrap_servers`: the local brokers of `sightline up`. The tables hold librdkafka's own keys.

    `infra.settings.client_keys` has what each key means, and `infra.settings.addresses` how brokers are written.
    """

    # Before the addresses, which may name the protocol.
    client: ClientKeys = Field(default={})
    bootstrap_servers: str = ""
    producer: ClientKeys = Field(default={})
    consumer: ClientKeys = Field(default={})
    admin: ClientKeys = Field(default={})
    start_timeout_ms: Positive = 5_000
    max_producer_queue_bytes: Positive = 64 * MIB
    max_fetch_queue_bytes: Positive = 32 * MIB

    @field_validator("bootstrap_servers", mode="before")
    @classmethod
    def _one_spelling(cls, given: Any, info: ValidationInfo) -> Any:
        text = ",".join(given) if isinstance(given, list) and all(isinstance(one, str) for one in given) else given
        if not isinstance(text, str) or "client" not in info.data:
            return text
        return broker_addresses(text, str(info.data["client"].get("security.protocol") or "plaintext"))


class TopicSettings(Section):
    """`replication_factor` and `min_insync_replicas` 0: the default of the brokers, which suits their number.

    `batches_retention_h` and `retry_retention_h`: longer than any outage of their readers, because the frames there are
    committed already.
    """

    partitions: Positive = 12
    replication_factor: Annotated[int, Field(ge=0)] = 0
    min_insync_replicas: Annotated[int, Field(ge=0)] = 0
    max_frame_bytes: Positive = 8 * MIB
    frames_retention_h: Positive = 24
    batches_retention_h: Positive = 7 * 24
    retry_retention_h: Positive = 7 * 24
    labels_retention_h: Positive = 30 * 24
    review_retention_h: Positive = 90 * 24
    dead_retention_h: Positive = 30 * 24


class RedisSettings(Section):
    """Empty `url`: the local Valkey of `sightline up`. `timeout_ms`: of a look-up, during which frames wait.

    `ttl_s`: how long a label is kept; `replay_ttl_s`: one of a replay, which only this replay finds.
    """

    url: SecretStr = SecretStr("")
    start_timeout_ms: Positive = 5_000
    timeout_ms: Positive = 100
    ttl_s: Positive = 24 * 3600
    replay_ttl_s: Positive = 600
    breaker_open_ms: Positive = 2_000

    @model_validator(mode="after")
    def _url_can_be_used(self) -> "RedisSettings":
        """Not a field validator: its message would show the value, which may hold a password."""
        url = self.url.get_secret_value()
        try:
            known = not url or (urlsplit(url).scheme in ("redis", "rediss", "unix") and urlsplit(url).port != 0)
        except ValueError:
            known = False
        if not known:
            raise ValueError(
                "url must be redis://HOST:PORT/DB, rediss:// or unix:// (percent-encode / # ? @ in a password)"
            )
        return self


class RetrySettings(Section):
    """`delays_ms`: how long a frame waits on `frames.retry` before attempt 1, 2, ...; after the last one it is dead."""

    delays_ms: tuple[Positive, ...] = (1_000, 30_000, 300_000)
    max_held_frames: Positive = 2_000
    max_held_bytes: Positive = 128 * MIB


class BreakerSettings(Section):
    """A stage stops when more than `max_bad_share` of the last `window_frames` failed; 1 switches this off."""

    window_frames: Positive = 500
    max_bad_share: Share = 0.95


class HttpSettings(Section):
    """Where /livez, /readyz and /metrics are served; port 0 takes a free port and logs it."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0


class MetricsSettings(Section):
    """`per_source`: how many sources of a process have series of their own; the others share `source_id="other"`."""

    per_source: Positive = 200


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"
