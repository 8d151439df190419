"""Reach: connections to public addresses only, or to an address that the operator named. A name is resolved once, each of
its addresses is checked, and the connection goes to a checked one: a second answer of the resolver is never asked for."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import urlsplit

import httpcore2
import psutil
import trio

from scheduler.registry import Address, is_public, parse_address, split_registry
from xnode.errors import Permanent

MAX_ADDRESSES = 4
"""Tried of one name."""

CONNECT_S = 10.0
"""For one address."""

MAX_URL_CHARS = 8192
"""What storage behind registries signs into its addresses is a tenth of it."""

SOCKET_OPTION = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]

Resolve = Callable[[str], Awaitable[tuple[Address, ...]]]
"""All addresses of a name. Raises OSError."""


class Reach(httpcore2.AsyncNetworkBackend):
    """What may be connected to. allowed: registries as in the settings; those written as an address are reached there,
    whatever kind of address it is, and at no other port."""

    def __init__(self, allowed: tuple[str, ...], resolve: Resolve | None = None) -> None:
        self._places = frozenset(split_registry(one) for one in allowed)
        named = ((parse_address(host), port) for host, port in self._places)
        self._named = frozenset((address, port) for address, port in named if address is not None)
        self._resolve = resolve or resolve_name
        self.inner: httpcore2.AsyncNetworkBackend = httpcore2.TrioBackend()

    def check_url(self, url: str) -> None:
        """Raises Permanent for an address that no registry may send us to. Names are resolved later, in connect_tcp()."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            raise make_refusal(f"{url[:200]!a} is not a URL") from None
        if len(url) > MAX_URL_CHARS or not url.isascii() or not url.isprintable() or parts.username is not None:
            raise make_refusal(f"{url[:200]!a} is not a URL to follow")
        if not self.is_plain(host, port) and parts.scheme != "https":
            raise make_refusal(f"{url[:200]} has no TLS")
        self._check_port(host, port)

    def is_plain(self, host: str, port: int) -> bool:
        """True for a registry of this host itself, which needs no TLS."""
        address = parse_address(host)
        return address is not None and address.is_loopback and (address, port) in self._named

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to a checked address of the host; the certificate is checked against its name afterwards."""
        addresses = await self.find_addresses(host, port)
        for address in addresses[:-1]:
            try:
                return await self.inner.connect_tcp(str(address), port, CONNECT_S, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self.inner.connect_tcp(str(addresses[-1]), port, CONNECT_S, local_address, socket_options)

    async def find_addresses(self, host: str, port: int) -> tuple[Address, ...]:
        """The addresses to connect to; Permanent when one of them is none to connect to."""
        self._check_port(host, port)
        literal = parse_address(host)
        if literal is not None and (literal, port) in self._named:
            return (literal,)
        try:
            with trio.fail_after(CONNECT_S):
                found = (literal,) if literal is not None else await self._resolve(host)
        except (OSError, UnicodeError, trio.TooSlowError) as error:
            raise httpcore2.ConnectError(f"{host} cannot be resolved: {error}") from error
        ours = frozenset(_list_own_addresses())
        for address in found:
            # Our own public address leads past the firewall that stands before it.
            if not is_public(address) or address in ours:
                raise make_refusal(f"{host} is at {address}, which is no public address of another host")
        if not found:
            raise httpcore2.ConnectError(f"{host} has no address")
        return found[:MAX_ADDRESSES]

    def _check_port(self, host: str, port: int) -> None:
        if port != 443 and (host, port) not in self._places and (parse_address(host), port) not in self._named:
            raise make_refusal(f"{host}:{port} is not at the port of HTTPS")


def make_refusal(what: str) -> Permanent:
    """A place where no image is taken from. The other side only hears that it is so."""
    return Permanent(what, code="image_address", told="the image's registry leads to an address that is not public")


async def resolve_name(host: str) -> tuple[Address, ...]:
    """All addresses that this host's resolver has for a name."""
    found = await trio.socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(ipaddress.ip_address(entry[4][0]) for entry in found))


def _list_own_addresses() -> Iterable[Address]:
    for entries in psutil.net_if_addrs().values():
        for entry in entries:
            if entry.family in (socket.AF_INET, socket.AF_INET6):
                address = parse_address(entry.address.partition("%")[0])
                if address is not None:
                    yield address
