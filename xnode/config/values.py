"""Values: the types of settings, each with its reader and the form in which a person writes it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from metering.units import Address
from scheduler.registry import ANY_PUBLIC, MAX_REGISTRIES, read_registry
from xnode.errors import InvalidValue
from xnode.text.quantity import read_duration_ns, read_ppm, read_size

LEAST_SILENCE_NS = 10_000_000_000
"""A daemon is back from a restart within a few seconds; a shorter wait would give up honest providers."""


LEAST_HISTORY_NS = 30 * 86_400 * 1_000_000_000
"""As long as the longest thaw: within it a voucher is claimed, and a fault proved against a stake that is on its way out."""


class Trait(Enum):
    """What else is true of a setting. LIVE: a running daemon can take a new value; the others need a restart. LOCAL: it names a
    place of this host, or may hold a secret: it is in no hash that others see, and is shown without what may be secret."""

    LIVE = auto()
    LOCAL = auto()


LIVE, LOCAL = Trait.LIVE, Trait.LOCAL


@dataclass(frozen=True, slots=True)
class Form:
    """How a value is written, in words for the reference; limits: what its reader bounds beyond the type."""

    text: str
    limits: str = ""


def _read_size(value: object) -> int:
    return read_size(str(value))


def _read_ppm(value: object) -> int:
    # A float as TOML has it is written back as the shortest decimal that means it.
    part_ppm = read_ppm(str(value))
    if not part_ppm:
        raise InvalidValue("0 promises nothing", "remove the section")
    return part_ppm


def _read_duration(value: object) -> int:
    if not isinstance(value, str):
        raise InvalidValue("a time needs its unit", 'write one such as "5s"')
    return read_duration_ns(value)


def _read_silence(value: object) -> int:
    silence_ns = _read_duration(value)
    if silence_ns < LEAST_SILENCE_NS:
        raise InvalidValue("less than 10s, in which a provider may be restarting", "write at least 10s")
    return silence_ns


def _read_history(value: object) -> int:
    history_ns = _read_duration(value)
    if history_ns < LEAST_HISTORY_NS:
        raise InvalidValue("less than 30d, within which a lease can still be disputed", "write at least 30d")
    return history_ns


def _read_address(value: object) -> Address:
    text = str(value)
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        raise InvalidValue(f'"{text[:60]}" is not an address', "write 0x and 40 hex digits")
    return Address(bytes.fromhex(text[2:]))


def _read_payer(value: object) -> Address | None:
    return None if value in ("", None) else _read_address(value)


def _read_price(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidValue("not a price", 'write a decimal number in quotes, such as "0.02"')
    if not re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,18})?", value):
        raise InvalidValue("not a price", "write a decimal number alone, such as 0.02")
    return value


def _read_multiaddr(value: object) -> str:
    text = str(value)
    if not re.fullmatch(r"(/[A-Za-z0-9._:%@\-]+)+", text):
        raise InvalidValue(f'"{text[:60]}" is not a multiaddr', 'write one such as "/ip4/0.0.0.0/tcp/4001"')
    return text


def _read_bootstrap(value: object) -> str:
    text = _read_multiaddr(value)
    if "/p2p/" not in text:
        raise InvalidValue(f'"{text[:60]}" names no peer', "end it with /p2p/ and the peer id")
    return text


def _read_registry(value: object) -> str:
    text = str(value).strip()
    if text == ANY_PUBLIC:
        return text
    registry = read_registry(text)
    if registry is None:
        raise InvalidValue(f'"{text[:60]}" is not a registry', f'write one such as "ghcr.io", or "{ANY_PUBLIC}"')
    return registry


def _split_list(value: object) -> object:
    """The environment writes lists as a, b."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _read_host_name(value: object) -> str:
    text = str(value).lower()
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", text):
        raise InvalidValue(f'"{text[:60]}" is not a host name', 'write one such as "node.example.org", without a port')
    return text


def _read_http(value: object) -> str:
    text = str(value)
    if not text:
        return text
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise InvalidValue(f'"{text[:60]}" is not host:port', 'write one such as "127.0.0.1:8420"')
    name = host.strip("[]")
    try:
        loopback = name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise InvalidValue(f'"{host[:60]}" is not a loopback address', "put a reverse proxy in front to publish it")
    return text


_MULTIADDR_FORM = Form('list of multiaddrs, like ["/ip4/0.0.0.0/tcp/4001"]')
_BOOTSTRAP_FORM = Form('list of multiaddrs, like ["/dns4/seed.example/tcp/4001/p2p/16Uiu2..."]', "each names its peer")

Multiaddrs = Annotated[
    tuple[Annotated[str, BeforeValidator(_read_multiaddr)], ...],
    NoDecode,
    BeforeValidator(_split_list),
    _MULTIADDR_FORM,
]
Bootstraps = Annotated[
    tuple[Annotated[str, BeforeValidator(_read_bootstrap)], ...],
    NoDecode,
    BeforeValidator(_split_list),
    _BOOTSTRAP_FORM,
]
HostNames = Annotated[
    tuple[Annotated[str, BeforeValidator(_read_host_name)], ...],
    NoDecode,
    BeforeValidator(_split_list),
    Form('list of host names, like ["node.example.org"]'),
]
Registries = Annotated[
    tuple[Annotated[str, BeforeValidator(_read_registry)], ...],
    Field(max_length=MAX_REGISTRIES),
    NoDecode,
    BeforeValidator(_split_list),
    Form('list of names, like ["docker.io", "registry.example:5000"]'),
]
HttpAddress = Annotated[str, BeforeValidator(_read_http), Form('host:port, like "127.0.0.1:8420"', "loopback only")]
Url = Annotated[str, Field(pattern=r"^(https?://\S+)?$"), Form("http or https URL"), LOCAL]
HostPath = Annotated[Path, LOCAL]
DatabaseUrl = Annotated[str, LOCAL]
Size = Annotated[int, BeforeValidator(_read_size), Form('size, like "2GiB" or "10GB"')]
DurationNs = Annotated[int, BeforeValidator(_read_duration), Field(gt=0), Form('time, like "5s" or "1h30m"', "over 0s")]
HistoryNs = Annotated[int, BeforeValidator(_read_history), Form('time, like "120d"', "at least 30d")]
SilenceNs = Annotated[int, BeforeValidator(_read_silence), Form('time, like "120s"', "at least 10s")]
PartPpm = Annotated[int, BeforeValidator(_read_ppm), Form("number, like 0.99", "over 0, at most 1, whole millionths")]
WalletAddress = Annotated[Address, BeforeValidator(_read_address), Form("address: 0x and 40 hex digits")]
Payer = Annotated[Address | None, BeforeValidator(_read_payer), Form("address: 0x and 40 hex digits")]
Price = Annotated[str, BeforeValidator(_read_price), Form('decimal in quotes, like "0.02"', "at most 18 decimals")]
ThawS = Annotated[int, Field(ge=1, le=30 * 86_400)]
RegionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-]{1,32}$"), Form("name", "1 to 32 letters, digits, - and _")]
AssetSymbol = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,16}$"), Form("symbol", "1 to 16 letters and digits")]
RuntimeName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_./\-]{1,128}$"), Form("name or path", "1 to 128 letters, digits, _ . / and -")
]
