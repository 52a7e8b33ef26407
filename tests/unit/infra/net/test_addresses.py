from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.cli import PACKAGES
from infra.net.addresses import not_global, parse_address
from infra.net.policy import GlobalAddresses, OnlyEndpoint
from tests.support.paths import ROOT

GLOBAL = ("1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1", "198.17.0.1",
          "198.20.0.1", "223.255.255.255", "2606:4700::1111", "2a00:1450:4001::200e", "::ffff:8.8.8.8",
          "64:ff9b::808:808", "2001:4860:4860::8888")  # fmt: skip
NOT_GLOBAL = {
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "169.254.1.1": "link_local",
    "169.254.169.254": "metadata",
    "100.100.100.200": "metadata",
    "192.0.0.192": "metadata",
    "168.63.129.16": "metadata",
    "100.64.0.1": "carrier_nat",
    "100.127.255.255": "carrier_nat",
    "192.0.0.1": "reserved",
    "192.0.2.1": "documentation",
    "192.88.99.1": "tunnel",
    "198.18.0.1": "benchmarking",
    "198.19.255.255": "benchmarking",
    "203.0.113.9": "documentation",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "::": "unspecified",
    "::1": "loopback",
    "::7f00:1": "reserved",  # the IPv4-compatible form of 127.0.0.1
    "::ffff:127.0.0.1": "loopback",
    "::ffff:10.0.0.1": "private",
    "::ffff:a9fe:a9fe": "metadata",
    "64:ff9b::a00:1": "private",
    "64:ff9b::7f00:1": "loopback",
    "64:ff9b::a9fe:a9fe": "metadata",
    "64:ff9b:1::808:808": "private",
    "2002:7f00:1::": "tunnel",
    "2002:808:808::": "tunnel",
    "2001:0:a00:1::1": "tunnel",
    "2001:db8::1": "documentation",
    "2001:20::1": "reserved",
    "3fff::1": "documentation",
    "fc00::1": "private",
    "fd00:ec2::254": "metadata",
    "fd20:ce::254": "metadata",
    "fe80::1": "link_local",
    "fe80::1%eth0": "link_local",
    "2606:4700::1%eth0": "link_local",
    "fec0::1": "private",
    "ff02::1": "multicast",
    "4000::1": "reserved",
    "5f00::1": "reserved",
    "100::1": "reserved",
}


@pytest.mark.parametrize("text", GLOBAL)
def test_a_global_address_may_be_connected_to(text: str) -> None:
    assert GlobalAddresses().refusal(text, 80) is None


@pytest.mark.parametrize(("text", "reason"), NOT_GLOBAL.items())
def test_no_other_address_may(text: str, reason: str) -> None:
    assert GlobalAddresses().refusal(text, 443) == reason


@pytest.mark.parametrize("text", ["127.1", "2130706433", "0x7f.0.0.1", "017700000001", "localhost", "", "1.1.1.1 "])
def test_what_is_no_address_literal_is_refused(text: str) -> None:
    assert GlobalAddresses().refusal(text, 80) == "not_an_address"


@given(st.integers(0, 2**32 - 1))
def test_an_ipv4_address_is_judged_the_same_in_every_form(number: int) -> None:
    address = IPv4Address(number)
    forms = (IPv6Address(0xFFFF << 32 | number), IPv6Address(int(IPv6Address("64:ff9b::")) | number))
    assert {not_global(address), *map(not_global, forms)} == {not_global(address)}
    assert parse_address(str(forms[0])) == address


@given(st.integers(0, 2**128 - 1).map(IPv6Address) | st.integers(0, 2**32 - 1).map(IPv4Address))
def test_what_python_knows_as_not_global_is_refused(address: IPv4Address | IPv6Address) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        mapped = isinstance(address, IPv6Address) and address.ipv4_mapped is not None
        assert not_global(address) is not None or mapped


def test_one_endpoint_allows_its_address_and_port_and_nothing_else() -> None:
    policy = OnlyEndpoint("127.0.0.1", 8080)
    assert policy.refusal("127.0.0.1", 8080) is None
    assert policy.refusal("127.0.0.1", 8081) == "loopback"
    assert policy.refusal("127.0.0.2", 8080) == "loopback"
    assert policy.refusal("8.8.8.8", 8080) == "other_endpoint"
    assert ip_address("::ffff:127.0.0.1") != ip_address("127.0.0.1")
    assert policy.refusal("::ffff:127.0.0.1", 8080) == "loopback"


def test_no_setting_flag_or_variable_chooses_the_policy() -> None:
    """The looser policy is named by the demo and the benchmark alone, which have bound the endpoint themselves."""
    allowed = {
        "infra/net/policy.py",
        "streams/bench/crawl.py",
        "ingest/crawl/showcase.py",
    }
    naming = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if "OnlyEndpoint" in path.read_text()
    }
    assert naming <= allowed
    assert not [path for path in (ROOT / "infra" / "settings").glob("*.py") if "infra.net" in path.read_text()]
    assert not [path for path in (ROOT / "infra" / "net").glob("*.py") if "environ" in path.read_text()]
