"""Which addresses a webhook may call, and how names become addresses.

Refuses to know HTTP. Theory: a customer names the URL, so whoever is behind it must not be ours: the address, not the name,
is judged, every address that a name resolves to, and the connection is then made to an address that was judged, never to
the name. What is not known to be public is refused: IPv6 by what is assigned to the world, IPv4 by the registry of special
ranges, which also is asked about an IPv4 address inside an IPv6 one.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from dispatcher.core.notices import Origin

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, str, int], Awaitable[Sequence[str]]]
"""(account, host, port) -> addresses as text. Raises OSError."""

_NOT_PUBLIC_4: Final = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carriers' NAT, and a metadata service
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # a metadata service at a public address
        "169.254.0.0/16",  # link-local, most metadata services
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments, and a metadata service
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_PUBLIC_6: Final = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6: Final = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
PORTS_FROM: Final = 1024
LOOKUPS_MAX: Final = 64
"""Names looked up at once; each holds a thread, as long as its name server likes."""
ACCOUNT_LOOKUPS_MAX: Final = 8


class Allowed:
    """An operator's rules: networks that may be called though they are not public, and whether port 80 is one."""

    def __init__(self, networks: Iterable[str] = (), *, insecure: bool = False) -> None:
        """Raises ValueError for what is no network."""
        self._networks = tuple(ipaddress.ip_network(text) for text in networks)
        self._low_ports = {443, 80} if insecure else {443}

    def permits(self, address: str, port: int) -> bool:
        """May a webhook be sent there?"""
        try:
            found = plain(ipaddress.ip_address(address.partition("%")[0]))
        except ValueError:
            return False
        if any(found in network for network in self._networks if network.version == found.version):
            return True
        return is_public(found) and (port in self._low_ports or port >= PORTS_FROM)


def plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 one means (mapped, or translated by NAT64), else the address."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def is_public(address: Address) -> bool:
    """Is it known to be anybody's and nobody's own?"""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)


class Names:
    """The system's resolver in threads of its own; an account with slow name servers does not take all of them."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUPS_MAX, thread_name_prefix="names")
        self._turns: dict[str, int] = {}

    async def resolve(self, account: str, host: str, port: int) -> Sequence[str]:
        """See Resolve."""
        if self._turns.get(account, 0) >= ACCOUNT_LOOKUPS_MAX:
            raise OSError("too many names of this account are being looked up")
        self._turns[account] = self._turns.get(account, 0) + 1
        lookup = asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host, port)
        # A lookup cannot be cancelled: its turn ends when its thread does, not when its caller stops waiting.
        lookup.add_done_callback(lambda done: self._ended(account, done))
        return await asyncio.shield(lookup)

    def _ended(self, account: str, done: asyncio.Future[Sequence[str]]) -> None:
        if not done.cancelled():
            done.exception()
        left = self._turns.pop(account) - 1
        if left:
            self._turns[account] = left

    def close(self) -> None:
        """Waits for nobody."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


def judged(addresses: Sequence[str], origin: Origin, allowed: Allowed) -> Sequence[str]:
    """The addresses when every one of them may be called, else none: a name that also leads inside is nobody's mistake."""
    return addresses if all(allowed.permits(address, origin.port) for address in addresses) else ()
