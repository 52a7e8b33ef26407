"""The HTTP client of addresses that others chose, on real sockets: a refused address sees no connection at all."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from infra.net.policy import AddressPolicy, GlobalAddresses, OnlyEndpoint
from infra.net.session import client_session, refusal_of
from infra.process.ports import find_ports
from ingest.crawl.local_site import Handler, start

TIMEOUT = aiohttp.ClientTimeout(total=5)
GOOD, TRAP = "127.0.0.1", "127.0.0.2"


@dataclass
class Names(AbstractResolver):
    """A name server: each look-up gives the next answer, and the last one again and again."""

    answers: list[list[str]]
    looked_up: int = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        addresses = self.answers[min(self.looked_up, len(self.answers) - 1)]
        self.looked_up += 1
        return [ResolveResult(hostname=host, host=one, port=port, family=family, proto=0, flags=0) for one in addresses]

    async def close(self) -> None:
        pass


@contextlib.asynccontextmanager
async def trap(address: str, port: int) -> AsyncIterator[list[str]]:
    """A listener at which nobody may connect; the list of those who did."""
    connected: list[str] = []

    async def connection(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(str(writer.get_extra_info("peername")))
        writer.close()

    server = await asyncio.start_server(connection, address, port)
    async with server:
        yield connected


@contextlib.asynccontextmanager
async def site(answer: Handler) -> AsyncIterator[int]:
    runner = await start(answer, GOOD, 0)
    yield int(runner.addresses[0][1])
    await runner.cleanup()


async def hello(_request: web.Request) -> web.Response:
    return web.Response(text="hello")


def session(policy: AddressPolicy, *answers: list[str]) -> aiohttp.ClientSession:
    return client_session(
        policy, user_agent="test", timeout=TIMEOUT, resolver=Names(list(answers)) if answers else None
    )


async def refused(client: aiohttp.ClientSession, url: str) -> str:
    with pytest.raises(aiohttp.ClientConnectorError) as caught:
        await client.get(url)
    refusal = refusal_of(caught.value)
    assert refusal is not None
    return refusal.reason


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "localhost", "0.0.0.0"])
async def test_a_server_on_this_machine_sees_no_connection(host: str) -> None:
    port = find_ports(1)[0]
    async with trap("0.0.0.0", port) as connected, session(GlobalAddresses()) as client:
        assert await refused(client, f"http://{host}:{port}/") in ("loopback", "unspecified")
        assert connected == []


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1"])
async def test_other_spellings_of_an_address_are_refused(host: str) -> None:
    async with session(GlobalAddresses()) as client:
        with pytest.raises((aiohttp.InvalidURL, aiohttp.ClientConnectorError)):
            await client.get(f"http://{host}:9/")


async def test_a_name_is_refused_when_any_of_its_addresses_is() -> None:
    async with site(hello) as port, trap(TRAP, port) as connected:
        async with session(OnlyEndpoint(GOOD, port), [GOOD, TRAP]) as client:
            assert await refused(client, f"http://shop.test:{port}/") == "loopback"
        async with session(OnlyEndpoint(GOOD, port), [GOOD, "::ffff:10.0.0.1"]) as client:
            assert await refused(client, f"http://shop.test:{port}/") == "private"
        assert connected == []


async def test_a_name_that_changes_its_address_between_two_requests_is_refused_at_the_second() -> None:
    async with site(hello) as port, trap(TRAP, port) as connected:
        async with session(OnlyEndpoint(GOOD, port), [GOOD], [TRAP]) as client:
            url = f"http://rebinding.test:{port}/"
            async with client.get(url, headers={"Connection": "close"}) as answer:
                assert await answer.text() == "hello"
            assert await refused(client, url) == "loopback"
        assert connected == []


async def test_the_address_that_is_connected_to_is_judged_whatever_the_resolver_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The check of the name alone would be open to a resolver that answers twice."""
    monkeypatch.setattr("infra.net.session.CheckedResolver", lambda _policy, resolver: resolver)
    async with site(hello) as port, trap(TRAP, port) as connected:
        async with session(OnlyEndpoint(GOOD, port), [TRAP]) as client:
            assert await refused(client, f"http://shop.test:{port}/") == "loopback"
        assert connected == []


async def test_every_hop_of_a_redirect_is_judged() -> None:
    async def redirect(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": f"http://{TRAP}:{request.url.port}/"})

    async with site(redirect) as port, trap(TRAP, port) as connected:
        async with session(OnlyEndpoint(GOOD, port)) as client:
            assert await refused(client, f"http://{GOOD}:{port}/") == "loopback"
        assert connected == []


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(hello) as port, trap(TRAP, port) as connected:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://{TRAP}:{port}")
        async with session(OnlyEndpoint(GOOD, port)) as client, client.get(f"http://{GOOD}:{port}/") as answer:
            assert await answer.text() == "hello"
        assert connected == []
