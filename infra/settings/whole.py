"""All sections in one frozen object, and the rules that hold between sections."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from infra.settings.base import MIB
from infra.settings.gateway import GatewaySettings
from infra.settings.inference import ConfidenceSettings, InferSettings
from infra.settings.infra import (
    BreakerSettings,
    HttpSettings,
    KafkaSettings,
    LogSettings,
    MetricsSettings,
    RedisSettings,
    RetrySettings,
    TopicSettings,
)
from infra.settings.ingest import ArchiveSettings, CameraSettings, CrawlSettings, SpoolSettings
from infra.settings.lag import LagSettings
from infra.settings.places import config_file
from infra.settings.sinks import JsonlSettings, SinkSettings
from infra.settings.streams import StreamSettings
from infra.settings.toml_file import read_toml
from infra.settings.tracing import TracingSettings

ENV_PREFIX = "SIGHTLINE_"


class SettingsFile(TomlConfigSettingsSource):
    """`sightline.toml`, read as every TOML file here."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        return read_toml(Path(file_path))


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
    spool: SpoolSettings = SpoolSettings()
    archive: ArchiveSettings = ArchiveSettings()
    gateway: GatewaySettings = GatewaySettings()
    crawl: CrawlSettings = CrawlSettings()
    stream: StreamSettings = StreamSettings()
    infer: InferSettings = InferSettings()
    confidence: ConfidenceSettings = ConfidenceSettings()
    sink: SinkSettings = SinkSettings()
    jsonl: JsonlSettings = JsonlSettings()
    retry: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()
    lag: LagSettings = LagSettings()
    http: HttpSettings = HttpSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()

    @model_validator(mode="after")
    def _sizes_fit(self) -> "Settings":
        if self.topics.min_insync_replicas > (self.topics.replication_factor or self.topics.min_insync_replicas):
            raise ValueError("topics.min_insync_replicas is larger than topics.replication_factor")
        if self.stream.max_buffer_bytes < self.topics.max_frame_bytes:
            raise ValueError("stream.max_buffer_bytes is smaller than topics.max_frame_bytes")
        if self.spool.max_bytes < 2 * self.topics.max_frame_bytes:
            raise ValueError("spool.max_bytes must be at least twice topics.max_frame_bytes")
        if self.stream.heartbeat_interval_ms * 3 > self.stream.session_timeout_ms:
            raise ValueError("stream.heartbeat_interval_ms must be at most a third of stream.session_timeout_ms")
        # A dead letter is a frame with more headers, and must fit into the producer's queue.
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
            SettingsFile(settings_cls, config_file()),
        )
