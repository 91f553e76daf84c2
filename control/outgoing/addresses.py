"""Where requests may go: URLs that were typed in, and the addresses behind their names.

An address is judged when a connection is made, by what the name means at that moment: a name that meant a
public address when somebody looked at it is of no use for reaching a private one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
MAX_URL = 2048
MAX_HOST = 253
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?:{_LABEL}\.)*(?!\d+\.?$|0x[0-9a-f]*\.?$){_LABEL}\.?", re.IGNORECASE)
"""Names of DNS. One that ends in a number is an address in disguise (WHATWG URL, "ends in a number")."""


class AddressPolicy:
    """Public addresses, and what is in `networks` besides; `plain` lets http:// be used, too. Raises
    ValueError for what is no network."""

    def __init__(self, networks: Iterable[str] = (), plain: bool = False) -> None:
        self._networks: tuple[Network, ...] = tuple(ipaddress.ip_network(each) for each in networks)
        self.plain = plain

    def check_url(self, url: str) -> str:
        """A URL that may be called: https (or http where that is allowed), no user, no password, no fragment,
        no address that is refused. Raises ValueError with a reason."""
        if len(url) > MAX_URL or not all("!" <= letter <= "~" for letter in url):
            raise ValueError(f"a URL has at most {MAX_URL} printable ASCII characters")
        parts = urlsplit(url)
        if parts.scheme == "http" and not self.plain:
            raise ValueError("must begin with https:// (http:// only where outgoing.plain_http is true)")
        if parts.scheme not in ("http", "https"):
            raise ValueError("must begin with https://")
        if "@" in parts.netloc:
            raise ValueError("must carry no user and no password")
        if "#" in url:
            raise ValueError("must have no fragment")
        if not parts.hostname or "\\" in parts.netloc or parts.port == 0:
            raise ValueError("names no host")
        try:
            found = ipaddress.ip_address(parts.hostname)
        except ValueError:
            if "[" in parts.netloc or len(parts.hostname) > MAX_HOST or not _HOST.fullmatch(parts.hostname):
                raise ValueError("names no host that can be: names are letters, figures, - and _") from None
            return url
        self.check_address(str(found))
        return url

    def check_address(self, address: str) -> None:
        """Raises ValueError for an address that is not called."""
        found = ipaddress.ip_address(address.partition("%")[0])
        if any(found in network for network in self._networks):
            return
        inner = _inner(found)
        if any(inner in network for network in self._networks):
            return
        strange = isinstance(inner, ipaddress.IPv6Address) and inner not in _UNICAST
        special = any(inner in network for network in _NOT_PUBLIC) and inner not in _PUBLIC
        if not inner.is_global or inner.is_multicast or strange or special:
            raise ValueError(f"{address} is no public address (outgoing.networks)")


def _inner(address: Address) -> Address:
    """The address that is reached in the end: IPv4 in one of its clothes of IPv6."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that is given out (IANA); whatever else there is belongs to sites, or to nobody yet."""
_NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            "3fff::/20",  # documentation
            "2001::/32",  # Teredo
            "192.0.0.0/24",  # of protocols, and metadata of a cloud (192.0.0.192)
            "192.88.99.0/24",  # 6to4 relays
            "168.63.129.16/32",  # the host below a virtual machine of Azure
        ),
    )
)
_PUBLIC = tuple(map(ipaddress.ip_address, ("192.0.0.9", "192.0.0.10")))
"""What Python's is_global lets through and is nobody's public server, and of that what is."""
