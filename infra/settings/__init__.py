"""One frozen settings object, read from `sightline.toml`, `SIGHTLINE_*` variables and flags; later sources win.

A variable names section and field: `SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS`. All faults are reported at once, before any
connection is opened. A part of a process gets only its own section. A new setting is one field in the module of its
package: `infra`, `ingest`, `streams`, `inference`, `sinks`. May import: schemas, pydantic.
"""

from infra.settings.base import KIB, MIB
from infra.settings.gateway import GatewaySettings
from infra.settings.inference import ConfidenceSettings, Delivery, InferSettings
from infra.settings.infra import (
    BreakerSettings,
    ClientKeys,
    HttpSettings,
    KafkaSettings,
    LogSettings,
    MetricsSettings,
    RedisSettings,
    RetrySettings,
    TopicSettings,
)
from infra.settings.ingest import ArchiveSettings, CameraSettings, CrawlSettings, SpoolSettings
from infra.settings.lag import GroupLimits, LagSettings, NotifySettings
from infra.settings.load import load_settings
from infra.settings.places import home
from infra.settings.sinks import JsonlSettings, SinkSettings
from infra.settings.streams import StreamSettings
from infra.settings.tracing import TracingSettings
from infra.settings.whole import Settings

__all__ = [
    "KIB",
    "MIB",
    "ArchiveSettings",
    "BreakerSettings",
    "CameraSettings",
    "ClientKeys",
    "ConfidenceSettings",
    "CrawlSettings",
    "Delivery",
    "GatewaySettings",
    "GroupLimits",
    "HttpSettings",
    "InferSettings",
    "JsonlSettings",
    "KafkaSettings",
    "LagSettings",
    "LogSettings",
    "MetricsSettings",
    "NotifySettings",
    "RedisSettings",
    "RetrySettings",
    "Settings",
    "SinkSettings",
    "SpoolSettings",
    "StreamSettings",
    "TopicSettings",
    "TracingSettings",
    "home",
    "load_settings",
]
