"""The TLS of librdkafka's keys for Python's `ssl`: the same trust, the same checks, the same certificate of our own.

Both clients have OpenSSL inside. What differs are the defaults: librdkafka looks for the system's certificates at its
own list of places and knows no minimum version. Source: rdkafka_ssl.c of librdkafka 2.16. Knows no Kafka client.
"""

import contextlib
import os
import re
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from infra.kafka.key_values import flag

# In this order; the first that exists, and is no empty folder, is used.
CA_PLACES = (
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/certs/ca-bundle.crt",
    "/etc/pki/tls/certs/ca-bundle.trust.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/cacert.pem",
    "/etc/certs/ca-certificates.crt",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/certs",
    "/usr/local/etc/ssl/cert.pem",
    "/usr/local/etc/ssl/cacert.pem",
    "/usr/local/etc/ssl/certs/cert.pem",
    "/usr/local/etc/ssl/certs/cacert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
    "/etc/openssl/certs/ca-certificates.crt",
)
_CERTIFICATE = re.compile(r"-----BEGIN (?:X509 )?CERTIFICATE-----.*?-----END (?:X509 )?CERTIFICATE-----", re.DOTALL)
# How OpenSSL finds a certificate in a folder: by a hash of its subject, which `openssl rehash` makes a link of.
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")


class BrokerContext(ssl.SSLContext):
    """A client's context that takes `host.` for `host`, as librdkafka does."""

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        name = server_hostname.removesuffix(".") if isinstance(server_hostname, str) else server_hostname
        return super().wrap_bio(incoming, outgoing, server_side, name, session)


def broker_context(keys: Mapping[str, Any]) -> ssl.SSLContext:
    """For connections to brokers. Raises ValueError: a sentence that begins with the key."""
    context = BrokerContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.hostname_checks_common_name = True
    with _named("ssl.cipher.suites"):
        context.set_ciphers(str(keys.get("ssl.cipher.suites", "DEFAULT")))
    verifies = flag(keys, "enable.ssl.certificate.verification", default=True)
    identifies = str(keys.get("ssl.endpoint.identification.algorithm", "https")).lower() != "none"
    context.check_hostname = verifies and identifies
    context.verify_mode = ssl.CERT_REQUIRED if verifies else ssl.CERT_NONE
    _trust(context, keys, "ssl.ca")
    if "ssl.crl.location" in keys:
        with _named("ssl.crl.location"):
            context.load_verify_locations(cafile=str(keys["ssl.crl.location"]))
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    _present(context, keys)
    return context


def https_context(keys: Mapping[str, Any]) -> ssl.SSLContext:
    """For the server that gives tokens out. Raises ValueError: a sentence that begins with the key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _trust(context, keys, "https.ca")
    return context


def _trust(context: ssl.SSLContext, keys: Mapping[str, Any], prefix: str) -> None:
    location, pem = str(keys.get(f"{prefix}.location", "")), str(keys.get(f"{prefix}.pem", ""))
    if location and location != "probe":
        with _named(f"{prefix}.location"):
            _load(context, Path(location))
    if pem:
        certificates = _CERTIFICATE.findall(pem)
        if not certificates:
            raise ValueError(f'"{prefix}.pem" holds no certificate in PEM form')
        with _named(f"{prefix}.pem"):
            context.load_verify_locations(cadata="\n".join(certificates))
    if not pem and location in ("", "probe"):
        _trust_system(context)


def _load(context: ssl.SSLContext, place: Path) -> None:
    if not place.is_dir():
        context.load_verify_locations(cafile=place)
    elif not any(_HASHED.fullmatch(file.name) for file in place.iterdir()):
        raise ValueError(f"{place} has no certificate under the hash of its name: `openssl rehash {place}` links them")
    else:
        context.load_verify_locations(capath=place)


def _trust_system(context: ssl.SSLContext) -> None:
    for place in map(Path, CA_PLACES):
        if not place.exists() or (place.is_dir() and not any(place.iterdir())):
            continue
        with contextlib.suppress(ssl.SSLError):  # librdkafka goes on to the next place as well
            context.load_verify_locations(None if place.is_dir() else place, place if place.is_dir() else None)
            return
    context.set_default_verify_paths()


def _present(context: ssl.SSLContext, keys: Mapping[str, Any]) -> None:
    """Loads our own certificate with its key. Of a file and a PEM text the text is in force, as in librdkafka."""
    parts = {}
    for kind in ("certificate", "key"):
        name = f"ssl.{kind}.pem" if f"ssl.{kind}.pem" in keys else f"ssl.{kind}.location"
        if name in keys:
            parts[kind] = name
    if len(parts) == 1:
        given, other = *parts.values(), *({"certificate", "key"} - parts.keys())
        raise ValueError(f'"{given}" is of no use alone: set "ssl.{other}.location" or "ssl.{other}.pem" as well')
    if not parts:
        return
    password = str(keys.get("ssl.key.password", ""))
    with _named(" and ".join(f'"{name}"' for name in parts.values()).strip('"')), contextlib.ExitStack() as files:
        certificate, key = (files.enter_context(_as_file(name, str(keys[name]))) for name in parts.values())
        # Without a function OpenSSL would ask the person at the terminal.
        context.load_cert_chain(certificate, key, lambda: password)


@contextlib.contextmanager
def _as_file(name: str, value: str) -> Iterator[str]:
    """The path of the file; of a PEM text, one in memory where the system has that, else of a private one."""
    if name.endswith(".location"):
        yield value
        return
    create = getattr(os, "memfd_create", None)
    if create is None:
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(value)
            file.flush()
            yield file.name
        return
    descriptor = int(create("pem"))
    try:
        with open(descriptor, "w", closefd=False) as file:
            file.write(value)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _named(key: str) -> Iterator[None]:
    """Names the key, and no value, in what OpenSSL and the file system say."""
    try:
        yield
    except ssl.SSLError as error:
        raise ValueError(f'"{key}": {getattr(error, "reason", None) or error}') from error
    except OSError as error:
        raise ValueError(f'"{key}": {error.filename or ""} {error.strerror or error}'.replace("  ", " ")) from error
    except ValueError as error:
        raise ValueError(f'"{key}": {error}') from error
