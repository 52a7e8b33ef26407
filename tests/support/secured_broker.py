"""A real broker with listeners that want TLS, certificates, a user or a token, beside its own plain one.

Its TLS listener shows a certificate for another name, `kafka.example`; the others one for 127.0.0.1.
"""

import base64
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from infra.local.home import Home
from infra.process.ports import find_ports
from tests.support.certificates import Authority
from tests.support.controlled_services import ControlledKafka, ControlledValkey
from tests.support.services import JARS_HOME, Services, stopped_at_exit

USER, PASSWORD = "camera", "open sesame; or not"
PROTOCOLS = {"TLS": "SSL", "MTLS": "SSL", "SASL": "SASL_SSL", "TOKENS": "SASL_PLAINTEXT"}


@dataclass(frozen=True)
class SecuredBroker:
    """`addresses`: by the name of the listener, each one of PROTOCOLS."""

    services: Services
    authority: Authority
    addresses: Mapping[str, str]


@contextmanager
def secured_broker(folder: Path) -> Iterator[SecuredBroker]:
    authority = Authority(folder / "authority")
    home = Home(folder / "home")
    first = ControlledKafka(home, jars_home=JARS_HOME)
    first.prepare(1)
    (broker,) = first.brokers
    taken = {broker.client_port, broker.internal_port, broker.controller_port}
    ports = dict(zip(PROTOCOLS, find_ports(len(PROTOCOLS), taken), strict=True))
    own = {"CLIENT": broker.client_port, "INTERNAL": broker.internal_port, "CONTROLLER": broker.controller_port}
    properties = _properties(authority, own, ports)
    kafka, valkey = ControlledKafka(home, jars_home=JARS_HOME, properties=properties), ControlledValkey(home)
    with stopped_at_exit(home.path):
        try:
            valkey.start()
            kafka.start(1, timeout_s=180)
            services = Services(kafka.bootstrap_servers, valkey.url, home.path, kafka, valkey)
            yield SecuredBroker(services, authority, {name: f"127.0.0.1:{port}" for name, port in ports.items()})
        finally:
            kafka.stop()
            valkey.stop()


def _properties(authority: Authority, own: Mapping[str, int], ports: Mapping[str, int]) -> dict[str, str]:
    def keystore(name: str, alternatives: str) -> str:
        made = authority.sign(name, alternatives)
        target = authority.folder / f"{made.key.stem}.store.pem"
        target.write_text(made.key_pem + made.certificate_pem + authority.ca.read_text())
        return str(target)

    def listeners(places: Mapping[str, int]) -> str:
        return ",".join(f"{name}://127.0.0.1:{port}" for name, port in places.items())

    def login(kind: str, more: str) -> str:
        return f"org.apache.kafka.common.security.{kind} required {more};"

    here = keystore("localhost", "IP:127.0.0.1,DNS:localhost")
    advertised = {name: port for name, port in own.items() if name != "CONTROLLER"}
    protocols = {**dict.fromkeys(own, "PLAINTEXT"), **PROTOCOLS}
    return {
        "listeners": listeners({**own, **ports}),
        "advertised.listeners": listeners({**advertised, **ports}),
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        "ssl.keystore.type": "PEM",
        "ssl.truststore.type": "PEM",
        "listener.name.tls.ssl.keystore.location": keystore("kafka.example", "DNS:kafka.example"),
        "listener.name.mtls.ssl.keystore.location": here,
        "listener.name.mtls.ssl.truststore.location": str(authority.ca),
        "listener.name.mtls.ssl.client.auth": "required",
        "listener.name.sasl.ssl.keystore.location": here,
        "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
        "listener.name.sasl.plain.sasl.jaas.config": login(
            "plain.PlainLoginModule", f'user_{USER}="{PASSWORD}"'
        ),
        "listener.name.sasl.scram-sha-256.sasl.jaas.config": login("scram.ScramLoginModule", ""),
        "listener.name.tokens.sasl.enabled.mechanisms": "OAUTHBEARER",
        "listener.name.tokens.oauthbearer.sasl.jaas.config": login(
            "oauthbearer.OAuthBearerLoginModule", 'unsecuredLoginStringClaim_sub="broker"'
        ),
    }  # fmt: skip


class TokenServer:
    """Gives unsigned tokens that end after `life_s` to whoever knows the secret. `forms`: what was asked."""

    def __init__(self, life_s: float = 300) -> None:
        self.forms: list[dict[str, list[str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.forms.append(parse_qs(form))
                known = self.headers["Authorization"] == f"Basic {pair}"
                body = json.dumps({"access_token": token(life_s)} if known else {"error": "invalid_client"}).encode()
                self.send_response(200 if known else 401)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/token"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "TokenServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def token(life_s: float) -> str:
    now = time.time()
    claims: dict[str, Any] = {"sub": USER, "iat": now, "exp": now + life_s, "scope": "cameras"}
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts) + "."
