"""An HTTP client that applies an `AddressPolicy` to the very address of every connection.

The address is judged twice. The resolver refuses a name when any of its addresses is refused. The socket factory
refuses the address that is about to be connected to, whoever named it: an IP literal, or a name whose answer changed.
Redirects, and whatever else uses the session, open their connections by the same factory.
"""

import socket
from collections.abc import Callable

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import AddrInfoType

from infra.net.policy import AddressPolicy


class RefusedAddress(OSError):
    """A connection that the policy does not allow. `reason` is the policy's word.

    An OSError, because aiohttp and its happy eyeballs expect those from a resolver and from a socket factory.
    """

    def __init__(self, host: str, address: str, reason: str) -> None:
        self.host, self.address, self.reason = host, address, reason
        named = address if host == address else f"{host} ({address})"
        super().__init__(f"{named} is no address to connect to: {reason}")


class CheckedResolver(AbstractResolver):
    """Answers with all addresses of a name, or raises RefusedAddress when the policy refuses one of them."""

    def __init__(self, policy: AddressPolicy, resolver: AbstractResolver) -> None:
        self._policy, self._resolver = policy, resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        answers = await self._resolver.resolve(host, port, family)
        if not answers:
            raise OSError(f"{host} has no address")
        for answer in answers:
            reason = self._policy.refusal(answer["host"], answer["port"])
            if reason is not None:
                raise RefusedAddress(host, answer["host"], reason)
        return answers

    async def close(self) -> None:
        await self._resolver.close()


class _Connector(aiohttp.TCPConnector):
    """A TCPConnector that closes the resolver it was given."""

    async def close(self, *, abort_ssl: bool = False) -> None:
        await super().close(abort_ssl=abort_ssl)
        await self._resolver.close()


def client_session(
    policy: AddressPolicy,
    *,
    user_agent: str,
    timeout: aiohttp.ClientTimeout,
    connections: int = 100,
    connections_per_host: int = 0,
    resolver: AbstractResolver | None = None,
) -> aiohttp.ClientSession:
    """A session whose every connection `policy` has allowed; to be made in a running event loop, and closed.

    It goes through no proxy, reads no .netrc, keeps no cookies, and leaves bodies compressed, so that the caller bounds
    their size. Whoever follows redirects must allow no other scheme than http and https. A refused connection raises
    aiohttp.ClientConnectorError; `refusal_of` finds out. `connections_per_host` 0: no limit of its own.
    """
    connector = _Connector(
        resolver=CheckedResolver(policy, resolver or aiohttp.ThreadedResolver()),
        socket_factory=_socket_factory(policy),
        use_dns_cache=False,  # the system has one; ours would hold on to an answer whatever its lifetime
        limit=connections,
        limit_per_host=connections_per_host,
    )
    return aiohttp.ClientSession(
        connector=connector,
        trust_env=False,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": user_agent},
        timeout=timeout,
    )


def refusal_of(error: BaseException) -> RefusedAddress | None:
    """The refusal that made a request fail; None when it failed for another reason."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return cause if isinstance(cause, RefusedAddress) else None


def _socket_factory(policy: AddressPolicy) -> Callable[[AddrInfoType], socket.socket]:
    def new_socket(address_info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, place = address_info
        address, port = str(place[0]), int(place[1])
        reason = policy.refusal(address, port)
        if reason is not None:
            raise RefusedAddress(address, address, reason)
        return socket.socket(family=family, type=kind, proto=protocol)

    return new_socket
