"""What the TLS keys of librdkafka say holds for aiokafka's context too: handshakes in memory, without a socket."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from infra.kafka.tls import CA_PLACES, broker_context
from tests.support.certificates import Authority, Certificate

SECRET = "open sesame"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def broker(authority: Authority) -> Certificate:
    return authority.sign("kafka.example", "DNS:kafka.example")


@pytest.fixture(scope="module")
def client(authority: Authority) -> Certificate:
    return authority.sign("camera-1")


@pytest.fixture(scope="module")
def locked(authority: Authority) -> Certificate:
    return authority.sign("camera-2", password=SECRET)


def shake_hands(
    keys: Mapping[str, Any], broker: Certificate, host: str = "127.0.0.1", wants: Path | None = None
) -> str:
    """The name in the client's certificate, empty for none. Raises ssl.SSLError; the broker trusts what it `wants`."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(broker.certificate, broker.key)
    if wants is not None:
        server_context.verify_mode = ssl.CERT_REQUIRED
        server_context.load_verify_locations(wants)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(up, down, server_side=True)
    client = broker_context(keys).wrap_bio(down, up, server_hostname=host)
    for _ in range(10):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    certificate: Any = server.getpeercert() or {}
    return str(dict(pair[0] for pair in certificate.get("subject", ())).get("commonName", ""))


def ca(authority: Authority) -> dict[str, Any]:
    return {"ssl.ca.location": str(authority.ca)}


NO_HOST = {"ssl.endpoint.identification.algorithm": "none"}


def test_the_name_of_the_host_is_checked_unless_that_is_switched_off(authority: Authority, broker: Certificate) -> None:
    shake_hands(ca(authority), broker, "kafka.example")
    shake_hands(ca(authority), broker, "kafka.example.")
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        shake_hands(ca(authority), broker)
    shake_hands({**ca(authority), **NO_HOST}, broker)
    shake_hands({**ca(authority), "ssl.endpoint.identification.algorithm": "NONE"}, broker)


def test_a_name_may_stand_in_the_subject_only(authority: Authority) -> None:
    shake_hands(ca(authority), authority.sign("old.example"), "old.example")


def test_the_authority_as_text_as_folder_and_as_both(authority: Authority, broker: Certificate) -> None:
    pem = "Chain of Zoë's camera shop:\n" + authority.ca.read_text()
    shake_hands({"ssl.ca.pem": pem, **NO_HOST}, broker)
    shake_hands({"ssl.ca.location": str(authority.hashed_folder()), **NO_HOST}, broker)
    other = Authority(authority.folder / "other")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands({**ca(other), **NO_HOST}, broker)
    shake_hands({**ca(other), "ssl.ca.pem": pem, **NO_HOST}, broker)


@pytest.mark.parametrize("off", [False, "false", "False", "f", 0])
def test_nothing_is_checked_where_verification_is_off(broker: Certificate, off: Any) -> None:
    shake_hands({"enable.ssl.certificate.verification": off}, broker)


@pytest.mark.parametrize("keys", [{}, {"ssl.ca.location": "probe"}])
def test_a_stranger_is_not_trusted_by_default(broker: Certificate, keys: dict[str, Any]) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands({**keys, **NO_HOST}, broker)


def test_our_certificate_from_files_and_from_text(
    authority: Authority, broker: Certificate, client: Certificate, locked: Certificate
) -> None:
    trust, wants = {**ca(authority), **NO_HOST}, authority.ca
    files = {"ssl.certificate.location": str(client.certificate), "ssl.key.location": str(client.key)}
    text = {"ssl.certificate.pem": client.certificate_pem, "ssl.key.pem": client.key_pem}
    mixed = {"ssl.certificate.pem": client.certificate_pem, "ssl.key.location": str(client.key)}
    for own in (files, text, mixed):
        assert shake_hands({**trust, **own}, broker, wants=wants) == "camera-1"
    encrypted = {"ssl.certificate.location": str(locked.certificate), "ssl.key.pem": locked.key_pem}
    assert shake_hands({**trust, **encrypted, "ssl.key.password": SECRET}, broker, wants=wants) == "camera-2"
    assert shake_hands(trust, broker) == ""


def test_a_revoked_broker_is_refused(authority: Authority, broker: Certificate) -> None:
    revoked = authority.sign("lost.example", "DNS:lost.example")
    keys = {**ca(authority), "ssl.crl.location": str(authority.revoke(revoked))}
    shake_hands(keys, broker, "kafka.example")
    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        shake_hands(keys, revoked, "lost.example")


def test_ciphers_are_those_that_are_named(authority: Authority, broker: Certificate) -> None:
    context = broker_context({"ssl.cipher.suites": "ECDHE-RSA-AES256-GCM-SHA384"})
    named = {str(cipher["name"]) for cipher in context.get_ciphers() if not str(cipher["name"]).startswith("TLS_")}
    assert named == {"ECDHE-RSA-AES256-GCM-SHA384"}


WRONG: dict[str, dict[str, Any]] = {
    "ssl.ca.location": {"ssl.ca.location": "/nowhere/ca.pem"},
    "ssl.ca.pem": {"ssl.ca.pem": "geheim"},
    "ssl.crl.location": {"ssl.crl.location": "/nowhere/crl.pem"},
    "ssl.cipher.suites": {"ssl.cipher.suites": "nonsense"},
    "ssl.certificate.location": {"ssl.certificate.location": "/nowhere", "ssl.key.location": "/nowhere"},
    "ssl.certificate.pem": {"ssl.certificate.pem": "geheim", "ssl.key.pem": "geheim"},
    "ssl.key.pem": {"ssl.key.pem": "geheim"},
    "enable.ssl.certificate.verification": {"enable.ssl.certificate.verification": "geheim"},
}


@pytest.mark.parametrize("key", WRONG)
def test_a_key_that_cannot_be_used_is_named_without_its_value(key: str) -> None:
    with pytest.raises(ValueError) as caught:
        broker_context(WRONG[key])
    assert f'"{key}"' in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_a_wrong_password_is_refused_and_nobody_is_asked(locked: Certificate) -> None:
    keys = {"ssl.certificate.location": str(locked.certificate), "ssl.key.location": str(locked.key)}
    for password in ({}, {"ssl.key.password": "wrong"}):
        with pytest.raises(ValueError, match=r"ssl\.key\.location"):
            broker_context({**keys, **password})


def test_a_folder_without_hashed_names_is_refused_with_what_to_do(authority: Authority) -> None:
    """Both clients would find nothing in it, and say that the broker's certificate cannot be verified."""
    plain = authority.folder / "plain"
    plain.mkdir()
    (plain / "ca.pem").write_bytes(authority.ca.read_bytes())
    with pytest.raises(ValueError, match="openssl rehash"):
        broker_context({"ssl.ca.location": str(plain)})


def test_the_places_of_the_systems_certificates_are_those_of_librdkafka() -> None:
    class Lines:
        def __init__(self) -> None:
            self.places: list[str] = []

        def log(self, _level: int, text: str, *args: object) -> None:
            line = text % args if args else text
            if "default CA certificate location" in line:
                self.places.append(line.rpartition("to ")[2].strip('"'))

    lines = Lines()
    keys: dict[str, Any] = {"bootstrap.servers": "", "security.protocol": "ssl", "debug": "security", "logger": lines}
    client = AdminClient(keys)
    client.poll(0)
    ours = next((place for place in CA_PLACES if Path(place).exists()), None)
    assert lines.places[-1:] == ([ours] if ours else [])
