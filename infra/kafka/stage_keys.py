"""librdkafka's keys for aiokafka, the client of the stream stage: a key says the same to both, or is refused by name.

What becomes of each key is in `infra.settings.client_keys`; a test goes through all of them.
"""

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.kafka.clients import METADATA_MAX_AGE_MS, bootstrap
from infra.kafka.key_values import flag, given_keys, whole
from infra.kafka.oauth import OidcTokens
from infra.kafka.tls import broker_context, https_context
from infra.settings import Settings
from infra.settings.client_keys import NOT_IN_STAGE, NOTED
from schemas.errors import ConfigError

# aiokafka has one time-out for all requests, and joining a group takes as long as the rebalance of the others.
MIN_REQUEST_TIMEOUT_MS = 40_000
# aiokafka cannot switch its refreshing of metadata off.
NEVER_MS = 10 * 365 * 86_400_000
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")

Convert = Callable[[Mapping[str, Any], str], Any]


def _text(keys: Mapping[str, Any], key: str) -> str:
    return str(keys[key]).lstrip()


def _flag(keys: Mapping[str, Any], key: str) -> bool:
    return flag(keys, key, default=False)


# key -> the argument of aiokafka's consumer and the conversion of the value.
ARGUMENTS: Mapping[str, tuple[str, Convert]] = {
    "client.id": ("client_id", _text),
    "client.rack": ("client_rack", _text),
    "session.timeout.ms": ("session_timeout_ms", whole),
    "heartbeat.interval.ms": ("heartbeat_interval_ms", whole),
    "retry.backoff.ms": ("retry_backoff_ms", whole),
    "fetch.min.bytes": ("fetch_min_bytes", whole),
    "fetch.max.bytes": ("fetch_max_bytes", whole),
    "fetch.wait.max.ms": ("fetch_max_wait_ms", whole),
    "max.partition.fetch.bytes": ("max_partition_fetch_bytes", whole),
    "isolation.level": ("isolation_level", lambda keys, key: _text(keys, key).lower()),
    "check.crcs": ("check_crcs", _flag),
    "connections.max.idle.ms": ("connections_max_idle_ms", lambda keys, key: whole(keys, key) or None),
}
_FAMILIES = {"any": socket.AF_UNSPEC, "v4": socket.AF_INET, "v6": socket.AF_INET6}


@dataclass(frozen=True, slots=True)
class StageKeys:
    """`arguments` of aiokafka's consumer, only those that the keys decide; `family` of the addresses it connects to."""

    arguments: dict[str, Any]
    family: socket.AddressFamily
    faults: list[str] = field(default_factory=list)


def stage_keys(settings: Settings) -> StageKeys:
    """Raises ConfigError, with every key that does not hold for the stage."""
    found = translated(given_keys(settings.kafka.client, settings.kafka.consumer))
    if found.faults:
        raise ConfigError(*found.faults)
    servers = bootstrap(settings).split(",")
    return StageKeys({"bootstrap_servers": servers, **found.arguments}, found.family)


def stage_faults(settings: Settings) -> list[str]:
    """A sentence for each key that would not hold for the stage."""
    return translated(given_keys(settings.kafka.client, settings.kafka.consumer)).faults


def stage_notes(settings: Settings) -> list[str]:
    """The configured keys that hold for librdkafka's clients and have no effect on what the stage reads with."""
    keys = given_keys(settings.kafka.client, settings.kafka.consumer)
    short = "socket.timeout.ms" in keys and whole(keys, "socket.timeout.ms") < MIN_REQUEST_TIMEOUT_MS
    return sorted([key for key in keys if key in NOTED] + ["socket.timeout.ms"] * short)


def translated(keys: Mapping[str, Any]) -> StageKeys:
    """The keys that are given for aiokafka. Reads the files that they name."""
    arguments: dict[str, Any] = {}
    faults = _refused(keys)

    def take(convert: Callable[[], dict[str, Any]]) -> None:
        try:
            arguments.update(convert())
        except ValueError as error:
            faults.append(f"the stream stage: {error}")

    for key, (name, convert) in ARGUMENTS.items():
        if key in keys:
            take(lambda key=key, name=name, convert=convert: {name: convert(keys, key)})  # type: ignore[misc]
    take(lambda: _metadata_age(keys))
    take(lambda: _request_timeout(keys))
    take(lambda: security_arguments(keys))
    family = _FAMILIES.get(str(keys.get("broker.address.family", "any")).lower(), socket.AF_UNSPEC)
    return StageKeys(arguments, family, faults)


def protocol_of(keys: Mapping[str, Any]) -> str:
    """PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."""
    return _text(keys, "security.protocol").upper() if "security.protocol" in keys else "PLAINTEXT"


def _refused(keys: Mapping[str, Any]) -> list[str]:
    """Keys that aiokafka has no counterpart of, where they have an effect in librdkafka."""
    protocol = protocol_of(keys)
    advice: dict[str, list[str]] = {}
    for key in keys:
        has_effect = (protocol.endswith("SSL") or not key.startswith("ssl.")) and (
            _is_oauth(keys) or "oauthbearer" not in key
        )
        if key in NOT_IN_STAGE and has_effect:
            advice.setdefault(NOT_IN_STAGE[key], []).append(f'"{key}"')
    faults = [f"the stream stage has no {', '.join(names)}: {what}" for what, names in advice.items()]
    if str(keys.get("client.dns.lookup", "use_all_dns_ips")).lower() != "use_all_dns_ips":
        faults.append('the stream stage has "client.dns.lookup" = "use_all_dns_ips" only')
    return faults


def _metadata_age(keys: Mapping[str, Any]) -> dict[str, Any]:
    """How old aiokafka lets its metadata be: librdkafka refreshes at one time, and forgets at the other."""
    refresh, max_age = "topic.metadata.refresh.interval.ms", "metadata.max.age.ms"
    if refresh not in keys and max_age not in keys:
        return {}
    every = whole(keys, refresh) if refresh in keys else METADATA_MAX_AGE_MS
    ages = [every if every > 0 else NEVER_MS, *([whole(keys, max_age)] if max_age in keys else [])]
    return {"metadata_max_age_ms": min(ages)}


def _request_timeout(keys: Mapping[str, Any]) -> dict[str, Any]:
    given = [whole(keys, key) for key in ("socket.timeout.ms", "session.timeout.ms") if key in keys]
    return {"request_timeout_ms": max(given)} if given and max(given) > MIN_REQUEST_TIMEOUT_MS else {}


def security_arguments(keys: Mapping[str, Any]) -> dict[str, Any]:
    """How to connect, in the words of aiokafka and kafka-python. Raises ValueError: a sentence that names the key."""
    protocol = protocol_of(keys)
    arguments: dict[str, Any] = {"security_protocol": protocol}
    if protocol.endswith("SSL"):
        arguments["ssl_context"] = broker_context(keys)
    if protocol.startswith("SASL"):
        arguments |= _sasl(keys)
    return arguments


def _sasl(keys: Mapping[str, Any]) -> dict[str, Any]:
    mechanism = _text(keys, "sasl.mechanism") if "sasl.mechanism" in keys else "GSSAPI"
    if mechanism not in MECHANISMS:
        default = "" if "sasl.mechanism" in keys else ", the default,"
        raise ValueError(f'"sasl.mechanism" = "{mechanism}"{default} is not there: set one of {", ".join(MECHANISMS)}')
    if mechanism == "OAUTHBEARER":
        return {"sasl_mechanism": mechanism, "sasl_oauth_token_provider": _tokens(keys)}
    for key in ("sasl.username", "sasl.password"):
        if key not in keys:
            raise ValueError(f'"{key}" is missing, which "sasl.mechanism" = "{mechanism}" needs')
    return {
        "sasl_mechanism": mechanism,
        "sasl_plain_username": _text(keys, "sasl.username"),
        "sasl_plain_password": _text(keys, "sasl.password"),
    }


def _tokens(keys: Mapping[str, Any]) -> OidcTokens:
    if str(keys.get("sasl.oauthbearer.method", "default")).lower() != "oidc":
        raise ValueError('"sasl.mechanism" = "OAUTHBEARER" needs "sasl.oauthbearer.method" = "oidc"')
    if (grant := str(keys.get("sasl.oauthbearer.grant.type", "client_credentials"))) != "client_credentials":
        raise ValueError(f'"sasl.oauthbearer.grant.type" = "{grant}" is not there: set "client_credentials"')
    return OidcTokens(keys, https_context(keys))


def _is_oauth(keys: Mapping[str, Any]) -> bool:
    return keys.get("sasl.mechanism") == "OAUTHBEARER" and protocol_of(keys).startswith("SASL")
