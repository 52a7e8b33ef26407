"""Addresses of brokers as people write them, made into the one spelling that both Kafka clients take. Pure."""

import ipaddress
import re

DEFAULT_PORT = 9092
PROTOCOLS = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
_QUOTES = "\"'“”„‘’`"
_BETWEEN = re.compile(r"[,;\s]+")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?")


def broker_addresses(text: str, protocol: str = "plaintext") -> str:
    """`host:port,host:port` for `PLAINTEXT://host:9092; "host"` and the like; empty for text without a character.

    A name stays a name, IPv6 is in brackets, the port is 9092 where none is given, and each address is there once.
    `protocol` is security.protocol, with which the one before `://` must agree. Raises ValueError with a sentence that
    shows nothing of an address with a password.
    """
    if "@" in text:
        raise ValueError(
            "an address has no user: write host:port, and set sasl.username and sasl.password in [kafka.client]"
        )
    parts = [part.strip(_QUOTES) for part in _BETWEEN.split(text.strip().strip(_QUOTES))]
    found = [_address(part, protocol) for part in parts if part]
    if text.strip() and not found:
        raise ValueError("it names no broker: write host:port, host:port")
    return ",".join(dict.fromkeys(found))


def _address(part: str, protocol: str) -> str:
    scheme, mark, rest = part.rpartition("://")
    if mark and scheme.lower() not in PROTOCOLS:
        raise ValueError(f"{part}: {scheme}:// is no protocol of Kafka: write host:port")
    if mark and scheme.lower() != protocol.lower():
        raise ValueError(
            f'{part}: {scheme}:// does not agree with "security.protocol" = "{protocol}" in [kafka.client]'
        )
    host, port = _host_and_port(rest.removesuffix("/") if mark else rest, part)
    return f"{_plain(host, part)}:{port}"


def _host_and_port(rest: str, part: str) -> tuple[str, int]:
    """As librdkafka divides them: several colons without brackets are an IPv6 address without a port."""
    host, colon, port = rest.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        return rest, DEFAULT_PORT
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= 65_535):
        raise ValueError(f"{part}: {port or 'nothing'} is no port: write host:port with a port of 1 to 65535")
    return host or "localhost", int(port)


def _plain(host: str, part: str) -> str:
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in bare:
        try:
            return f"[{ipaddress.IPv6Address(bare)}]"
        except ValueError:
            raise ValueError(f"{part}: it is no IPv6 address, and a name has one colon: write host:port") from None
    try:
        name = bare if bare.isascii() else bare.encode("idna").decode()
    except UnicodeError:
        name = ""
    if not _HOST.fullmatch(name) or host != bare:
        raise ValueError(f"{part}: it is no name of a host: write host:port")
    return name
