"""Which IP addresses lie on the public internet. Pure.

The ranges are those of IANA's special-purpose address registries that are not globally reachable, and the addresses at
which clouds serve credentials to their machines. `ipaddress.is_global` alone is not enough: it differs between releases
of Python, and it takes a NAT64 address for global whatever IPv4 address is in it.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

# The first range that fits names the reason.
_IPV4 = tuple(
    (ip_network(network), reason)
    for network, reason in (
        ("169.254.169.254/32", "metadata"),  # AWS, Azure, Google Cloud and others
        ("169.254.170.2/32", "metadata"),  # AWS ECS
        ("100.100.100.200/32", "metadata"),  # Alibaba Cloud
        ("192.0.0.192/32", "metadata"),  # Oracle Cloud
        ("168.63.129.16/32", "metadata"),  # Azure; the only one that is a public address
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier_nat"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link_local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "tunnel"),  # 6to4 relays, RFC 7526
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_IPV6 = tuple(
    (IPv6Network(network), reason)
    for network, reason in (
        ("fd00:ec2::254/128", "metadata"),  # AWS
        ("fd20:ce::254/128", "metadata"),  # Google Cloud
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link_local"),
        ("fec0::/10", "private"),  # site-local, RFC 3879
        ("ff00::/8", "multicast"),
        ("64:ff9b:1::/48", "private"),  # NAT64 inside one network, RFC 8215
        ("2001::/32", "tunnel"),  # Teredo
        ("2001::/23", "reserved"),  # protocol assignments: ORCHID, benchmarking and others
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "tunnel"),  # 6to4
        ("3fff::/20", "documentation"),
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052


def parse_address(text: str) -> IPv4Address | IPv6Address:
    """The address, written as IP literals are; a mapped IPv4 address as the IPv4 address that is connected to.

    Raises ValueError for anything else, the short forms of IPv4 (`127.1`) among it.
    """
    address = ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def not_global(address: IPv4Address | IPv6Address) -> str | None:
    """Why the address is not a global unicast one, as a snake_case word; None when it is one.

    An IPv6 address that stands for an IPv4 address (mapped, NAT64) is judged by that. The tunnels 6to4 and Teredo are
    refused whatever is in them: they are out of use, and lead where their embedded address says.
    """
    if isinstance(address, IPv4Address):
        return next((reason for network, reason in _IPV4 if address in network), None)
    if address.ipv4_mapped is not None:
        return not_global(address.ipv4_mapped)
    if address.scope_id is not None:
        return "link_local"
    if address in _NAT64:
        return not_global(IPv4Address(int(address) & 0xFFFFFFFF))
    reason = next((reason for network, reason in _IPV6 if address in network), None)
    return reason or (None if address in _GLOBAL_UNICAST else "reserved")
