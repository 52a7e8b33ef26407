"""Each key that we accept, one by one: it reaches aiokafka, concerns no reader, or is named before anything starts."""

import inspect
import socket
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from infra.kafka.key_check import client_faults, key_faults
from infra.kafka.oauth import OidcTokens
from infra.kafka.stage_keys import MIN_REQUEST_TIMEOUT_MS, NEVER_MS, stage_faults, stage_keys, stage_notes, translated
from infra.settings import Settings, load_settings
from infra.settings.client_keys import HOLDS, NO_MATTER, NOT_IN_STAGE, NOTED
from schemas.errors import ConfigError
from tests.support.certificates import Authority

SSL = {"security.protocol": "SSL"}
PLAIN = {
    "security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN", "sasl.username": "me", "sasl.password": "geheim"
}  # fmt: skip
OIDC = {
    "security.protocol": "sasl_plaintext", "sasl.mechanism": "OAUTHBEARER", "sasl.oauthbearer.method": "oidc",
    "sasl.oauthbearer.client.id": "me", "sasl.oauthbearer.client.secret": "geheim",
    "sasl.oauthbearer.token.endpoint.url": "http://tokens/",
}  # fmt: skip

# key -> value, and what it makes of the arguments of aiokafka's consumer.
ARGUMENTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "client.id": (" cam ", {"client_id": "cam "}),
    "client.rack": ("r1", {"client_rack": "r1"}),
    "session.timeout.ms": ("0x4000", {"session_timeout_ms": 16384}),
    "heartbeat.interval.ms": (500, {"heartbeat_interval_ms": 500}),
    "retry.backoff.ms": (7, {"retry_backoff_ms": 7}),
    "fetch.min.bytes": (8, {"fetch_min_bytes": 8}),
    "fetch.max.bytes": ("90000000", {"fetch_max_bytes": 90_000_000}),
    "fetch.wait.max.ms": (10, {"fetch_max_wait_ms": 10}),
    "max.partition.fetch.bytes": (11.0, {"max_partition_fetch_bytes": 11}),
    "isolation.level": ("READ_uncommitted", {"isolation_level": "read_uncommitted"}),
    "check.crcs": ("T", {"check_crcs": True}),
    "connections.max.idle.ms": (12, {"connections_max_idle_ms": 12}),
    "topic.metadata.refresh.interval.ms": (1_300, {"metadata_max_age_ms": 1_300}),
    "metadata.max.age.ms": (1_400, {"metadata_max_age_ms": 1_400}),
    "socket.timeout.ms": (50_000, {"request_timeout_ms": 50_000}),
}
# Keys of security, each with others that it needs. What they do: test_tls.py, tests/kafka/test_secured_broker.py.
SECURITY: dict[str, dict[str, Any]] = {
    "sasl.username": PLAIN,
    "sasl.password": PLAIN,
    "sasl.mechanism": PLAIN,
    "security.protocol": PLAIN,
    "sasl.oauthbearer.grant.type": {**OIDC, "sasl.oauthbearer.grant.type": "client_credentials"},
    "sasl.oauthbearer.scope": {**OIDC, "sasl.oauthbearer.scope": "cameras"},
    "sasl.oauthbearer.extensions": {**OIDC, "sasl.oauthbearer.extensions": "a=1,b=2"},
    **{key: OIDC for key in OIDC if key.startswith("sasl.oauthbearer")},
}


def settings(**keys: Any) -> Settings:
    return load_settings({"kafka": {"client": keys, "bootstrap_servers": "a"}})


@pytest.mark.parametrize("key", ARGUMENTS)
def test_a_key_with_a_counterpart_reaches_it(key: str) -> None:
    value, expected = ARGUMENTS[key]
    found = stage_keys(settings(**{key: value})).arguments
    assert found == {"bootstrap_servers": ["a:9092"], "security_protocol": "PLAINTEXT", **expected}
    assert found.keys() <= inspect.signature(AIOKafkaConsumer).parameters.keys()
    assert client_faults(settings(**{key: value})) == [], "librdkafka takes the same value"


def test_every_key_that_holds_is_in_a_test() -> None:
    elsewhere = {key for key in HOLDS if key.startswith(("ssl.", "enable.ssl", "https."))}  # test_tls.py
    tested = ARGUMENTS.keys() | SECURITY.keys() | elsewhere | {"broker.address.family", "client.dns.lookup"}
    assert tested == HOLDS


@pytest.mark.parametrize("key", sorted(NO_MATTER))
def test_a_key_that_concerns_no_reader_changes_nothing(key: str) -> None:
    assert translated({key: "1"}) == translated({})
    assert stage_notes(settings(**{key: "1"})) == []


@pytest.mark.parametrize("key", sorted(NOTED))
def test_a_key_that_holds_for_librdkafka_alone_is_told(key: str) -> None:
    assert translated({key: "1"}) == translated({})
    assert stage_notes(settings(**{key: "1"})) == [key]
    assert stage_notes(settings(**{key: ""})) == []


@pytest.mark.parametrize("key", sorted(NOT_IN_STAGE))
def test_a_key_without_a_counterpart_is_refused_with_what_to_do(key: str) -> None:
    keys = {**(SSL if key.startswith("ssl.") else OIDC if "oauth" in key else {}), key: "geheim"}
    (fault,) = [fault for fault in stage_faults(settings(**keys)) if f'"{key}"' in fault]
    assert fault == f'the stream stage has no "{key}": {NOT_IN_STAGE[key]}'
    with pytest.raises(ConfigError) as caught:
        stage_keys(settings(**keys))
    assert fault in caught.value.faults
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("key", ["ssl.keystore.location", "ssl.curves.list", "sasl.oauthbearer.config"])
def test_a_key_without_an_effect_in_librdkafka_is_not_refused(key: str) -> None:
    assert stage_faults(settings(**{key: "x"})) == []


def test_the_age_of_metadata_is_the_shorter_of_what_both_keys_say() -> None:
    refresh, age = "topic.metadata.refresh.interval.ms", "metadata.max.age.ms"
    assert translated({refresh: 60_000, age: 50_000}).arguments["metadata_max_age_ms"] == 50_000
    assert translated({refresh: 40_000, age: 50_000}).arguments["metadata_max_age_ms"] == 40_000
    assert translated({age: 900_000}).arguments["metadata_max_age_ms"] == 30_000, "librdkafka refreshes then too"
    assert translated({refresh: -1}).arguments["metadata_max_age_ms"] == NEVER_MS


def test_connections_that_never_idle_and_requests_that_may_take_long() -> None:
    assert translated({"connections.max.idle.ms": 0}).arguments["connections_max_idle_ms"] is None
    short = {"socket.timeout.ms": MIN_REQUEST_TIMEOUT_MS - 1}
    assert "request_timeout_ms" not in translated(short).arguments, "joining the group takes longer"
    assert stage_notes(settings(**short)) == ["socket.timeout.ms"]
    assert translated({"session.timeout.ms": 60_000}).arguments["request_timeout_ms"] == 60_000


def test_families() -> None:
    families = [translated({"broker.address.family": word}).family for word in ("any", "v4", "V6")]
    assert families == [socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6]
    (fault,) = stage_faults(settings(**{"client.dns.lookup": "resolve_canonical_bootstrap_servers_only"}))
    assert "client.dns.lookup" in fault


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_user_and_password(mechanism: str) -> None:
    found = translated({**PLAIN, "sasl.mechanism": mechanism})
    assert (found.faults, found.arguments) == (
        [],
        {
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": mechanism,
            "sasl_plain_username": "me",
            "sasl_plain_password": "geheim",
        },
    )


def test_tokens_of_an_oidc_server() -> None:
    keys = {**OIDC, "sasl.oauthbearer.extensions": "a=1, b=2", "sasl.oauthbearer.scope": "cameras"}
    found = translated(keys)
    assert found.faults == []
    provider = found.arguments["sasl_oauth_token_provider"]
    assert isinstance(provider, OidcTokens)
    assert provider.extensions() == {"a": "1", "b": "2"}


WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "Kerberos": ("GSSAPI", {**PLAIN, "sasl.mechanism": "GSSAPI"}),
    "Kerberos by default": ("GSSAPI", {"security.protocol": "sasl_ssl"}),
    "no password": ("sasl.password", {**PLAIN, "sasl.password": ""}),
    "tokens from nowhere": ("sasl.oauthbearer.method", {**OIDC, "sasl.oauthbearer.method": "default"}),
    "no token server": ("token.endpoint.url", {**OIDC, "sasl.oauthbearer.token.endpoint.url": ""}),
    "another grant": (
        "grant.type", {**OIDC, "sasl.oauthbearer.grant.type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
    ),
    "no number": ("fetch.min.bytes", {"fetch.min.bytes": "geheim"}),
    "octal to librdkafka": ("fetch.min.bytes", {"fetch.min.bytes": "010"}),
    "no flag": ("check.crcs", {"check.crcs": "geheim"}),
    "no file": ("ssl.ca.location", {**SSL, "ssl.ca.location": "/nowhere"}),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_used_is_named_and_no_secret_shown(case: str) -> None:
    named, keys = WRONG[case]
    faults = key_faults(settings(**keys))
    assert named in " ".join(faults)
    assert "geheim" not in " ".join(faults)


def test_all_faults_are_told_at_once_and_each_once(tmp_path: Any) -> None:
    keystore = Authority(tmp_path).keystore(Authority(tmp_path).sign("me"), "geheim")
    keys = {
        **SSL,
        "ssl.keystore.location": str(keystore),
        "ssl.keystore.password": "geheim",
        "ssl.curves.list": "P-256",
    }
    assert client_faults(settings(**keys)) == []
    assert len(key_faults(settings(**keys))) == 2
    (once,) = key_faults(settings(**SSL, **{"ssl.ca.location": "/nowhere"}))
    assert "ssl.ca.location" in once
