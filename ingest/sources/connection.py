"""How a network camera is reached, apart from its address: TLS, credentials, proxy. Pure: the environment is given."""

import ipaddress
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
PROXY_SCHEMES = ("http", "https")
TLS_SCHEMES = ("https", "rtsps")
CERTIFICATE_HINT = (
    "give the certificate that it must have with ca_file, or take any with tls_verify = false "
    "(for one camera in cameras.toml, for all SIGHTLINE_CAMERA__CA_FILE, SIGHTLINE_CAMERA__TLS_VERIFY)"
)
RTSP_TRANSPORTS = ("auto", "tcp", "udp")
CA_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True, slots=True)
class Connection:
    """The settings of one camera's connection.

    `ca_file`: the certificates that the camera's one is checked against; empty means those of the operating system.
    `use_proxy`: the proxy variables of the environment (http_proxy, no_proxy and so on) apply to this camera.
    `rtsp_transport`: `tcp`, `udp`, or `auto`: TCP, and UDP where the camera answers 461 to it.
    """

    tls_verify: bool = True
    ca_file: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    use_proxy: bool = False
    rtsp_transport: str = "auto"


# As no setting says otherwise.
DEFAULT = Connection()


class ConnectionFault(Exception):
    """A connection that can never work as it is configured; the message is a sentence without a subject."""


def without_credentials(address: str) -> str:
    """The address without user name and password."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def credentials(address: str, connection: Connection) -> tuple[str, str] | None:
    """User name and password: those of the address before those of the connection."""
    parts = urlsplit(address)
    if parts.username is not None:
        return unquote(parts.username), unquote(parts.password or "")
    return (connection.user, connection.password) if connection.user else None


def with_credentials(address: str, connection: Connection) -> str:
    """The address with the credentials of the connection inside, as FFmpeg takes them."""
    if not connection.user or urlsplit(address).username is not None:
        return address
    parts = urlsplit(address)
    userinfo = f"{quote(connection.user, safe='')}:{quote(connection.password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{userinfo}@{parts.netloc}"))


def is_network(address: str) -> bool:
    """Whether an address is a URL, and not a path."""
    return "://" in address


def uses_tls(address: str) -> bool:
    """Whether a connection to this address begins with TLS."""
    return urlsplit(address).scheme.lower() in TLS_SCHEMES


def tls_context(connection: Connection, environ: Mapping[str, str]) -> ssl.SSLContext:
    """The context of a client. Raises ConnectionFault where a file of certificates is missing or cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not connection.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    given = _given_certificates(connection, environ)
    if given is not None:
        name, path, is_folder = given
        kind = "folder" if is_folder else "file"
        places = [Path(place) for place in (path.split(os.pathsep) if is_folder else [path])]
        if not any(place.exists() for place in places):
            raise ConnectionFault(f"cannot be used: {name} names {path}, and there is no such {kind}")
        if not any(place.is_dir() == is_folder for place in places):
            raise ConnectionFault(f"cannot be used: {name} names {path}, which is no {kind}")
        try:
            context.load_verify_locations(None if is_folder else path, path if is_folder else None)
        except PermissionError as error:
            raise ConnectionFault(f"cannot be used: {name} names {path}, which may not be read") from error
        except (OSError, ssl.SSLError) as error:
            raise ConnectionFault(f"cannot be used: {name} names {path}, which has no certificate in it") from error
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # each certificate in it is trusted by itself
        return context
    bundle = default_bundle()
    hashed = ssl.get_default_verify_paths().openssl_capath
    if bundle or Path(hashed).is_dir():
        context.load_verify_locations(bundle or None, hashed if Path(hashed).is_dir() else None)
    return context


class PinnedContext(ssl.SSLContext):
    """Takes the certificates in `ca_file` themselves, whatever name they are for, and no certificate that they signed.

    Cameras make their certificate themselves, for a name that they are not reached by.
    """

    _pinned: frozenset[bytes]

    @classmethod
    def of(cls, ca_file: str) -> "PinnedContext":
        """Raises ConnectionFault."""
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        try:
            context.load_verify_locations(ca_file)
            text = Path(ca_file).read_text("latin-1")
            context._pinned = frozenset(ssl.PEM_cert_to_DER_cert(block) for block in CERTIFICATE.findall(text))
        except (OSError, ValueError) as error:
            raise ConnectionFault(f"cannot be used: ca_file names {ca_file}, which cannot be read: {error}") from error
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    def wrap_socket(self, *given: Any, **more: Any) -> ssl.SSLSocket:
        wrapped = super().wrap_socket(*given, **more)
        if wrapped.getpeercert(binary_form=True) not in self._pinned:
            wrapped.close()
            raise ssl.SSLCertVerificationError("[SSL: CERTIFICATE_VERIFY_FAILED] it is for another name")
        return wrapped


def default_bundle() -> str:
    """The file with the certificates of the operating system; empty where there is none."""
    candidates = (ssl.get_default_verify_paths().openssl_cafile, *CA_BUNDLES)
    return next((file for file in candidates if Path(file).is_file()), "")


def bundle_of(connection: Connection, environ: Mapping[str, str]) -> str:
    """The one file of certificates that FFmpeg can be given, which takes no folder; empty where there is none."""
    if connection.ca_file:
        return connection.ca_file
    named = environ.get("SSL_CERT_FILE", "")
    return named or default_bundle()


def proxy_of(address: str, connection: Connection, environ: Mapping[str, str]) -> str:
    """The proxy to use for an address; empty where it is reached directly. Raises ConnectionFault."""
    if not connection.use_proxy:
        return ""
    parts = urlsplit(address)
    scheme = parts.scheme.lower()
    default_port = 443 if scheme == "https" else 80
    if _is_exempt(parts.hostname or "", parts.port or default_port, _variable("no_proxy", environ)):
        return ""
    value = _variable(f"{scheme}_proxy", environ) or _variable("all_proxy", environ)
    if not value:
        return ""
    proxy = value if "://" in value else f"http://{value}"
    try:
        known = urlsplit(proxy).scheme.lower() in PROXY_SCHEMES and bool(urlsplit(proxy).hostname)
        _ = urlsplit(proxy).port  # raises ValueError where it is not a number
    except ValueError:
        known = False
    if not known:
        raise ConnectionFault(
            "cannot be used: the proxy that the environment names must be http://HOST:PORT or https://HOST:PORT"
        )
    return proxy


def is_proxy_variable(name: str) -> bool:
    """Whether an environment variable decides about proxies, for any library."""
    return name.lower().endswith("_proxy")


def _given_certificates(connection: Connection, environ: Mapping[str, str]) -> tuple[str, str, bool] | None:
    """Which setting or variable names certificates, what it names, and whether that must be a folder."""
    for name, path in (("ca_file", connection.ca_file), ("SSL_CERT_FILE", environ.get("SSL_CERT_FILE", ""))):
        if path:
            return name, path, False
    folder = environ.get("SSL_CERT_DIR", "")
    return ("SSL_CERT_DIR", folder, True) if folder else None


def _variable(name: str, environ: Mapping[str, str]) -> str:
    return (environ.get(name) or environ.get(name.upper()) or "").strip()


def _is_exempt(host: str, port: int, no_proxy: str) -> bool:
    return any(_matches(entry.strip().lower(), host.lower(), port) for entry in no_proxy.replace(" ", ",").split(","))


def _matches(entry: str, host: str, port: int) -> bool:
    """Whether one entry of NO_PROXY names the host: *, a name with or without a dot or star before it, an address or a
    network, each with or without a port."""
    if not entry or entry == "*":
        return entry == "*"
    name, given_port = entry, ""
    if entry.startswith("["):
        name, _, given_port = entry[1:].partition("]")
    elif entry.count(":") == 1:
        name, _, given_port = entry.partition(":")
    if given_port.removeprefix(":") not in ("", str(port)):
        return False
    try:
        network = ipaddress.ip_network(name, strict=False)
    except ValueError:
        suffix = name.removeprefix("*").removeprefix(".")
        return bool(suffix) and (host == suffix or host.endswith("." + suffix))
    try:
        return ipaddress.ip_address(host) in network
    except ValueError:
        return False
