"""An upload gateway in this process, whose webhooks may go to one server of the test, and a key for it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from infra.net.policy import AddressPolicy, GlobalAddresses
from infra.process.lifecycle import Stop
from infra.process.ports import find_ports
from infra.settings import Settings
from ingest.gateway import service
from ingest.gateway.keys import SCOPES, Key, digest_of, new_token
from ingest.gateway.store import Store
from schemas.webhooks import new_secret
from tests.support.deployment import Deployment

START_S = 20.0


@dataclass(frozen=True)
class Gateway:
    """Where it listens, and where its state is."""

    url: str
    state: Path
    settings: Settings

    def client(self, token: str) -> httpx2.Client:
        headers = {"authorization": f"Bearer {token}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)


def add_key(state: Path, name: str = "shop", **fields: Any) -> tuple[str, Key]:
    """A new key: as its user sends it, and as it is kept."""
    token = new_token()
    scopes = fields.pop("scopes", SCOPES)
    key = Key(name, digest_of(token), tuple(scopes), 0, signing_secret=new_secret(), **fields)
    with Store(state) as store:
        store.add_key(key)
    return token, key


@contextmanager
def running_gateway(
    deployment: Deployment, state: Path, policy: AddressPolicy | None = None, **gateway: Any
) -> Iterator[Gateway]:
    """A gateway that answers; it is stopped at the end, and must end without an error."""
    fields = {"port": find_ports(1)[0], "state": str(state), **gateway}
    settings = deployment.settings(gateway=fields)
    stop = Stop()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            service.run(settings, policy or GlobalAddresses(), stop)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="gateway", daemon=True)
    thread.start()
    made = Gateway(f"http://127.0.0.1:{settings.gateway.port}", state, settings)
    try:
        _wait_answers(made, errors)
        yield made
    finally:
        stop.set()
        thread.join(12)
    assert not thread.is_alive(), "the gateway keeps to its stop budget"
    assert errors == []


def _wait_answers(gateway: Gateway, errors: list[BaseException]) -> None:
    until_s = time.monotonic() + START_S
    while True:
        try:
            httpx2.get(f"{gateway.url}/openapi.json", trust_env=False)
            return
        except httpx2.TransportError:
            assert not errors, errors
            assert time.monotonic() < until_s, "the gateway does not answer"
            time.sleep(0.05)
