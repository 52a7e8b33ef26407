"""The schema registry that the settings name, if any."""

from infra.settings import Settings
from schemas.registry_client import HttpRegistry


def registry_of(settings: Settings) -> HttpRegistry | None:
    """The client; None without SIGHTLINE_SCHEMA_REGISTRY_URL: records are then in single-object encoding."""
    return HttpRegistry(settings.schema_registry_url) if settings.schema_registry_url else None
