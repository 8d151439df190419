"""Multiaddr: where a node may be dialed, as text; only TCP over IP or DNS is spoken."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

import psutil

MAX_MULTIADDR_CHARS = 256
"""Room for a relay's DNS name and two peer ids."""

MAX_MERGED = 8
"""Addresses of one node that are kept together: as many as its record may have."""

_ID = "([1-9A-HJ-NP-Za-km-z]{40,64})"
_TCP = re.compile(rf"/(ip4|ip6|dns|dns4|dns6)/([^/]+)/tcp/(\d{{1,5}})(?:/p2p/{_ID}(?:/p2p-circuit/p2p/{_ID})?)?")
_DNS = re.compile(r"(?!-)[A-Za-z0-9_.-]{1,253}(?<!-)")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A TCP port on a host. peer_id: the base58 text behind /p2p/, or None; target: the peer id of the node that is
    reached through the one at this port, or None."""

    host: str
    port: int
    peer_id: str | None = None
    target: str | None = None


def parse_multiaddr(text: str) -> Endpoint | None:
    """The endpoint a multiaddr names, or None when it is none that we can dial."""
    if len(text) > MAX_MULTIADDR_CHARS:
        return None
    match = _TCP.fullmatch(text)
    if match is None or not 0 < int(match[3]) < 65536 or not _is_host(match[1], match[2]):
        return None
    return Endpoint(match[2], int(match[3]), match[4], match[5])


def make_multiaddr(host: str, port: int) -> str:
    """The multiaddr of a TCP port, without /p2p."""
    try:
        kind = f"ip{ipaddress.ip_address(host).version}"
    except ValueError:
        kind = "dns"
    return f"/{kind}/{host}/tcp/{port}"


def name_peer(multiaddr: str, peer_id: str) -> str:
    """The multiaddr with the peer id at its end, once: the address of a node that is reached through a relay has it already."""
    ending = f"/p2p/{peer_id}"
    return multiaddr if multiaddr.endswith(ending) else multiaddr + ending


def expand_unspecified(multiaddrs: tuple[str, ...]) -> tuple[str, ...]:
    """The addresses with 0.0.0.0 and :: written out as this host's interfaces; loopback only where nothing else is."""
    return tuple(dict.fromkeys(each for text in multiaddrs for each in _expand(text)))


def _expand(text: str) -> tuple[str, ...]:
    for kind, unspecified, family in (("ip4", "0.0.0.0", socket.AF_INET), ("ip6", "::", socket.AF_INET6)):
        prefix = f"/{kind}/{unspecified}/"
        if text.startswith(prefix):
            hosts = _interface_hosts(family)
            return tuple(f"/{kind}/{host}/{text.removeprefix(prefix)}" for host in hosts)
    return (text,)


def _interface_hosts(family: socket.AddressFamily) -> tuple[str, ...]:
    found = [each.address for of in psutil.net_if_addrs().values() for each in of if each.family == family]
    # A link-local address (with its %zone) means nothing to another host.
    global_hosts = [host for host in found if "%" not in host and not ipaddress.ip_address(host).is_loopback]
    return tuple(global_hosts) or tuple(host for host in found if "%" not in host)


def _is_host(kind: str, host: str) -> bool:
    if kind.startswith("dns"):
        return _DNS.fullmatch(host) is not None
    try:
        return ipaddress.ip_address(host).version == int(kind[2])
    except ValueError:
        return False


def merge_multiaddrs(first: tuple[str, ...], then: tuple[str, ...]) -> tuple[str, ...]:
    """Both, each once, in this order; no more than are ever dialed."""
    return tuple(dict.fromkeys((*first, *then)))[:MAX_MERGED]
