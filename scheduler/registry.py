"""Registry: where an image's reference leads, and which registries a provider takes images from."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

ANY_PUBLIC = "any public"
"""In place of names: every registry at a public address, at the port of HTTPS."""

WELL_KNOWN = (
    "docker.io",
    "ghcr.io",
    "quay.io",
    "gcr.io",
    "registry.k8s.io",
    "registry.gitlab.com",
    "public.ecr.aws",
    "mcr.microsoft.com",
    "nvcr.io",
)
"""Public registries that somebody answers for: what they redirect to is their own storage."""

MAX_REFERENCE_CHARS = 512
"""Of a whole reference: registries take names of 255 characters, and tags of 128."""

MAX_REGISTRIES = 64
"""Entries of one provider's list."""

HUB = "docker.io"
"""Where a name without a registry is."""

HUB_NAMES = ("index.docker.io", "registry-1.docker.io")

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 for hosts that have IPv6 only: the address that counts is the one within."""

TUNNELS = (ipaddress.IPv6Network("2001::/32"), ipaddress.IPv6Network("2002::/16"))
"""Teredo and 6to4: an IPv4 address within, which may be any."""

_PART = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = rf"{_PART}(?:\.{_PART})*|\[[0-9a-f:.]{{2,45}}\]"
REGISTRY_PATTERN = rf"(?:{_HOST})(?::[0-9]{{1,5}})?"
_REGISTRY = re.compile(REGISTRY_PATTERN, re.ASCII)
_REPOSITORY = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Reference:
    """registry: "ghcr.io", or "host:5000" where it is not at the port of HTTPS; repository: "me/train"."""

    registry: str
    repository: str


def parse_reference(text: str) -> Reference | None:
    """The registry and repository in "ghcr.io/me/train:tag@sha256:...", None when it is no reference. A name without a
    registry is one of docker.io, as all tools read it."""
    if len(text) > MAX_REFERENCE_CHARS:
        return None
    name, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        return None
    path, colon, tag = name.rpartition(":")
    if colon and "/" not in tag:
        if not _TAG.fullmatch(tag):
            return None
        name = path
    first, slash, rest = name.partition("/")
    if not slash or not (set(first) & set(".:") or first == "localhost"):
        first, rest = HUB, name if slash else f"library/{name}"
    registry = read_registry(first)
    if registry is None or not _REPOSITORY.fullmatch(rest):
        return None
    if registry == HUB and "/" not in rest:
        rest = f"library/{rest}"
    return Reference(registry, rest)


def read_registry(text: str) -> str | None:
    """A registry's one spelling, None when it is none."""
    text = text.lower()
    if not _REGISTRY.fullmatch(text):
        return None
    host, port = split_registry(text)
    if not 0 < port < 65536:
        return None
    host = HUB if host in HUB_NAMES else host
    return host if port == 443 else f"{host}:{port}"


def split_registry(registry: str) -> tuple[str, int]:
    """(host, port) of a registry."""
    host, colon, port = registry.rpartition(":")
    return (host, int(port)) if colon and port.isdecimal() and not registry.endswith("]") else (registry, 443)


def is_allowed(registry: str, allowed: tuple[str, ...]) -> bool:
    """True when an image may be taken from there, as far as its name tells: where it lies is seen when it is asked."""
    return registry in allowed or (ANY_PUBLIC in allowed and _may_be_public(registry))


def describe_allowed(allowed: tuple[str, ...]) -> str:
    """Like "docker.io, ghcr.io and 7 more"."""
    named = ", ".join(allowed[:4])
    return f"{named} and {len(allowed) - 4} more" if len(allowed) > 4 else named


def parse_address(host: str) -> Address | None:
    """The address that a host is written as, None when it is a name."""
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def is_public(address: Address) -> bool:
    """True for what only one host on the whole internet has: no loopback, no private, link-local, shared or reserved
    address, and none with such a one within."""
    if isinstance(address, ipaddress.IPv6Address):
        within = address.ipv4_mapped
        if within is None and address in NAT64:
            within = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if within is not None:
            return is_public(within)
        # Scoped addresses are a link's own; the global ones that are given out begin with the bits 001.
        if address.scope_id or any(address in net for net in TUNNELS) or int(address) >> 125 != 1:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _may_be_public(registry: str) -> bool:
    host, port = split_registry(registry)
    address = parse_address(host)
    if port != 443:
        return False
    return is_public(address) if address is not None else "." in host and not host.endswith((".local", ".localhost"))
