"""One frozen settings object: `sightline.toml`, then `SIGHTLINE_*` (sections by `__`), then flags; the last one wins.

All faults are listed at once, before anything is opened. Parts get only their own section.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from schemas.errors import ConfigError

ENV_PREFIX = "SIGHTLINE_"
ENV_NOT_SETTINGS = {"SIGHTLINE_HOME", "SIGHTLINE_CONFIG"}
DEFAULT_CONFIG = "sightline.toml"

KIB, MIB = 1024, 1024 * 1024

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
ClientKeys = dict[str, str | int | float | bool]
Delivery = Literal["at_least_once", "exactly_once"]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(Section):
    """Empty `bootstrap_servers`: the local broker of `sightline up`. The tables are librdkafka keys, untouched."""

    bootstrap_servers: str = ""
    client: ClientKeys = {}
    producer: ClientKeys = {}
    consumer: ClientKeys = {}
    admin: ClientKeys = {}
    start_timeout_ms: Positive = 5_000
    max_producer_queue_bytes: Positive = 64 * MIB
    max_fetch_queue_bytes: Positive = 32 * MIB


class RedisSettings(Section):
    """Empty `url`: the local Valkey of `sightline up`. `timeout_ms`: of a look-up, for which frames wait."""

    url: SecretStr = SecretStr("")
    start_timeout_ms: Positive = 5_000
    timeout_ms: Positive = 100
    ttl_s: Positive = 24 * 3600
    breaker_open_ms: Positive = 2_000

    @model_validator(mode="after")
    def _url_can_be_used(self) -> "RedisSettings":
        """Not a validator of the field: its faults show what was given, and this may hold a password."""
        url = self.url.get_secret_value()
        try:
            known = not url or (urlsplit(url).scheme in ("redis", "rediss", "unix") and urlsplit(url).port != 0)
        except ValueError:
            known = False
        if not known:
            raise ValueError(
                "url is none of redis://HOST:PORT/DB, rediss:// and unix:// (percent-encode / # ? @ in a password)"
            )
        return self


class TopicSettings(Section):
    """Replication 0 takes the brokers' own default, which knows how many they are."""

    partitions: Positive = 12
    replication_factor: Annotated[int, Field(ge=0)] = 0
    min_insync_replicas: Annotated[int, Field(ge=0)] = 0
    max_frame_bytes: Positive = 8 * MIB
    frames_retention_h: Positive = 24
    batches_retention_h: Positive = 6
    labels_retention_h: Positive = 30 * 24
    review_retention_h: Positive = 90 * 24
    dead_retention_h: Positive = 30 * 24


class CameraSettings(Section):
    """The buffer is one agent's: its bytes are shared by its live cameras, its frames count for each of them.

    `max_failures`: a file or folder that failed so often in a row is given up; cameras are tried for ever.
    `max_frame_age_ms`: live frames that waited longer for Kafka are dropped; 0 keeps them all.
    """

    fps: Annotated[float, Field(gt=0)] = 5.0
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = 90
    open_timeout_ms: Positive = 5_000
    read_timeout_ms: Positive = 5_000
    backoff_initial_ms: Positive = 1_000
    backoff_max_ms: Positive = 60_000
    healthy_after_ms: Positive = 60_000
    max_failures: Positive = 5
    max_buffer_bytes: Positive = 32 * MIB
    max_buffer_frames: Positive = 64
    max_frame_age_ms: Annotated[int, Field(ge=0)] = 0


class StreamSettings(Section):
    """`max_inflight_bytes` bounds what waits for the workers in the batches topic; `max_buffer_bytes` this process.

    `decoders`: how many images are decoded at once. `decode_timeout_ms`: of up to 8 images, or of a large one alone.
    """

    encoding: Literal["I420", "RGB24", "JPEG"] = "I420"
    max_batch_frames: Positive = 32
    max_batch_bytes: Positive = 4 * MIB
    batch_deadline_ms: Positive = 20
    decoders: Positive = 2
    decode_timeout_ms: Positive = 10_000
    max_image_pixels: Positive = 50_000_000
    max_buffer_frames: Positive = 256
    max_buffer_bytes: Positive = 64 * MIB
    max_inflight_bytes: Positive = 256 * MIB
    commit_interval_ms: Positive = 1_000
    session_timeout_ms: Positive = 10_000
    heartbeat_interval_ms: Positive = 2_000
    group_instance_id: str = ""
    stall_timeout_ms: Positive = 60_000
    cache: bool = True


class InferSettings(Section):
    """`min_probability`: below it a decision is REVIEW. `precision` is OpenVINO's; auto: bf16 where the CPU has it."""

    model: str = "efficientnet-lite0"
    precision: Literal["auto", "f32", "bf16"] = "auto"
    threads: Annotated[int, Field(ge=0)] = 0
    max_batch_size: Positive = 32
    max_queue_delay_ms: Positive = 10
    max_queue_bytes: Positive = 64 * MIB
    top_k: Annotated[int, Field(ge=1, le=100)] = 5
    min_probability: Share = 0.35
    delivery: Delivery = "at_least_once"
    transaction_ms: Positive = 100
    transactional_id: str = ""
    commit_interval_ms: Positive = 500
    group_protocol: Literal["consumer", "classic"] = "consumer"
    group_instance_id: str = ""
    session_timeout_ms: Positive = 6_000
    max_poll_interval_ms: Positive = 300_000
    stall_timeout_ms: Positive = 60_000
    retry_limit_ms: Positive = 5_000
    cache: bool = True


class RetrySettings(Section):
    """How long a frame waits on the retry lane before attempt 1, 2, ...; after the last it is dead."""

    delays_ms: tuple[Positive, ...] = (1_000, 30_000, 300_000)
    max_held_frames: Positive = 2_000
    max_held_bytes: Positive = 128 * MIB


class BreakerSettings(Section):
    """The stage stops when more than `max_bad_share` of the last `window_frames` were bad; 1 switches that off."""

    window_frames: Positive = 500
    max_bad_share: Share = 0.95


class HttpSettings(Section):
    """Where /livez, /readyz and /metrics are served; port 0 takes a free one and logs it."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
    )

    topic_prefix: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]*$", max_length=100)] = ""
    schema_registry_url: str = ""
    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    topics: TopicSettings = TopicSettings()
    camera: CameraSettings = CameraSettings()
    stream: StreamSettings = StreamSettings()
    infer: InferSettings = InferSettings()
    retry: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _sizes_fit(self) -> "Settings":
        if self.topics.min_insync_replicas > (self.topics.replication_factor or self.topics.min_insync_replicas):
            raise ValueError("topics.min_insync_replicas is larger than topics.replication_factor")
        if self.stream.max_buffer_bytes < self.topics.max_frame_bytes:
            raise ValueError("stream.max_buffer_bytes is smaller than topics.max_frame_bytes")
        if self.stream.heartbeat_interval_ms * 3 > self.stream.session_timeout_ms:
            raise ValueError("stream.heartbeat_interval_ms must be at most a third of stream.session_timeout_ms")
        # A dead letter is a frame with its headers; what is larger than the queue would wait for room for ever.
        if self.kafka.max_producer_queue_bytes < self.topics.max_frame_bytes + 2 * MIB:
            raise ValueError("kafka.max_producer_queue_bytes must be at least topics.max_frame_bytes and 2 MiB more")
        for name, section in (("stream", self.stream), ("infer", self.infer)):  # their watchdogs judge by commits
            if section.stall_timeout_ms < 3 * section.commit_interval_ms:
                raise ValueError(f"{name}.stall_timeout_ms must be at least 3 times {name}.commit_interval_ms")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (
            init_settings,
            env_settings,
            TomlConfigSettingsSource(settings_cls, _config_file()),
        )


def load_settings(flags: dict[str, Any] | None = None) -> Settings:
    """The settings of this process; `flags` is nested like the file (`{"infer": {"model": "null"}}`), None left out.

    Raises ConfigError with every fault found.
    """
    faults = _unknown_variables()
    try:
        settings = Settings(**_given(flags or {}))
    except ValidationError as error:
        raise ConfigError(*faults, *[_sentence(fault) for fault in error.errors()]) from None
    except (
        ValueError,
        OSError,
    ) as error:  # TOML that cannot be read, JSON in a variable that cannot be parsed
        raise ConfigError(*faults, str(error)) from error
    if faults:
        raise ConfigError(*faults)
    return settings


def home() -> Path:
    """Where local services, jars and caches are kept: $SIGHTLINE_HOME, or `.sightline` in this folder."""
    return Path(os.environ.get("SIGHTLINE_HOME") or ".sightline").absolute()


def _config_file() -> Path:
    named = os.environ.get("SIGHTLINE_CONFIG")
    if named and not Path(named).is_file():
        raise ConfigError(f"SIGHTLINE_CONFIG names {named}, which is no file")
    return Path(named or DEFAULT_CONFIG)


def _given(flags: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _given(value) if isinstance(value, dict) else value
        for key, value in flags.items()
        if value is not None and value != {}
    }


def _unknown_variables() -> list[str]:
    known = {f"{ENV_PREFIX}{name}".upper() for name in Settings.model_fields}
    return [
        f"{name} is no setting; `sightline config check` lists them all"
        for name in sorted(os.environ)
        if name.startswith(ENV_PREFIX) and name not in ENV_NOT_SETTINGS and name.split("__")[0] not in known
    ]


def _sentence(fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"]) or "settings"
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        return f"{place} is no setting"
    given = fault.get("input")
    return f"{place}: {message}" + (f" (given: {given!r})" if isinstance(given, str | int | float) else "")
