"""Which addresses a download may lead to: the public ones, and the networks that are named."""

import ipaddress
import socket
from collections.abc import Sequence

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# An IPv6 address outside of these is none of the internet: link, site, documentation, local NAT64,
# or an IPv4 address in a spelling of its own.
_INTERNET_V6 = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Of the numbers of the internet, those that `ipaddress` takes for public, in some version of it.
_SPECIAL = (
    ipaddress.ip_network("168.63.129.16/32"),  # Azure: the platform behind each machine
    ipaddress.ip_network("192.0.0.0/24"),  # Oracle's cloud has machines' metadata there
    ipaddress.ip_network("192.88.99.0/24"),  # 6to4 relays
    ipaddress.ip_network("2001::/23"),  # Teredo, ORCHID and other uses of the protocol itself
    ipaddress.ip_network("3fff::/20"),  # documentation
)


class ForbiddenAddressError(Exception):
    """A name leads to an address that may not be asked; the text is a part of a sentence."""


def checked_address(host: str, port: int, networks: Sequence[str]) -> str:
    """An address of a host, to connect to that and nothing else: a name may change meanwhile.

    Args:
        host: A name or an address, as the URL or a redirect has it.
        port: For the resolver.
        networks: Besides public addresses, those that are allowed.

    Raises:
        OSError: the name is unknown.
        ForbiddenAddressError: one of its addresses is not allowed.
    """
    allowed = [ipaddress.ip_network(network) for network in networks]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    texts = [str(entry[4][0]) for entry in found]
    for text in texts:
        address = _real(ipaddress.ip_address(text))
        if not is_public(address) and not any(address in network for network in allowed):
            raise ForbiddenAddressError(f"it leads to {address}, which is no public address")
    return texts[0]


def is_public(address: _Address) -> bool:
    """Whether it is of the internet: not of this machine, its links, a cluster or a company."""
    address = _real(address)
    if isinstance(address, ipaddress.IPv6Address) and address not in _INTERNET_V6:
        return False
    is_special = address.is_multicast or any(address in network for network in _SPECIAL)
    return address.is_global and not is_special


def _real(address: _Address) -> _Address:
    """The IPv4 address that an IPv6 address leads to, else the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inside = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return inside or address
    return address
