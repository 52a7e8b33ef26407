"""Policies of which addresses a client may connect to. Pure."""

from dataclasses import dataclass
from typing import Protocol

from infra.net.addresses import not_global, parse_address


class AddressPolicy(Protocol):
    """Decides on every address right before a connection to it is opened."""

    def refusal(self, address: str, port: int) -> str | None:
        """Why there must be no connection to this IP address, as a snake_case word; None when there may be one."""


class GlobalAddresses:
    """Global unicast addresses alone. The policy of every command that requests what others name."""

    def refusal(self, address: str, port: int) -> str | None:
        try:
            return not_global(parse_address(address))
        except ValueError:
            return "not_an_address"


@dataclass(frozen=True, slots=True)
class OnlyEndpoint:
    """One address and port, for a server that the same program has bound: the demo, a benchmark or a test.

    Nothing else may be connected to, also no global address.
    """

    address: str
    port: int

    def refusal(self, address: str, port: int) -> str | None:
        if (address, port) == (self.address, self.port):
            return None
        return GlobalAddresses().refusal(address, port) or "other_endpoint"
