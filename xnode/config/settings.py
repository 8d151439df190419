"""Config: one node's settings from home's config.toml and the environment (XNODE_SECTION__KEY), all errors at once."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from metering.units import Address
from xnode.config.file import read_table
from xnode.errors import UserError
from xnode.home import Home
from xnode.text.quantity import read_duration_ns, read_ppm, read_size

ENV_PREFIX = "XNODE_"

LEAST_SILENCE_NS = 10_000_000_000
"""A daemon is back from a restart within a few seconds; whoever gives it up sooner gives up honest providers."""


def _parse_size(value: object) -> int:
    return read_size(str(value))


def _parse_ppm(value: object) -> int:
    # A float as TOML has it is written back as the shortest decimal that means it.
    part_ppm = read_ppm(str(value))
    if not part_ppm:
        raise ValueError("nothing is promised with 0; take the section out")
    return part_ppm


def _parse_duration(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError('a time needs its unit, such as "5s"')
    return read_duration_ns(value)


def _parse_silence(value: object) -> int:
    silence_ns = _parse_duration(value)
    if silence_ns < LEAST_SILENCE_NS:
        raise ValueError("a provider may be restarting: wait at least 10s before it counts as lost")
    return silence_ns


def _parse_address(value: object) -> Address:
    text = str(value)
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        raise ValueError(f'"{text[:60]}" is not an address: 0x and 40 hex digits')
    return Address(bytes.fromhex(text[2:]))


def _parse_price(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,18})?", value):
        raise ValueError('a price is a decimal number in quotes, like "0.02"')
    return value


def _parse_multiaddr(value: object) -> str:
    text = str(value)
    if not re.fullmatch(r"(/[A-Za-z0-9._:%@\-]+)+", text):
        raise ValueError(f'"{text[:60]}" is not a multiaddr, like "/ip4/0.0.0.0/tcp/4001"')
    return text


def _parse_bootstrap(value: object) -> str:
    text = _parse_multiaddr(value)
    if "/p2p/" not in text:
        raise ValueError(f'"{text[:60]}" names no peer: it must end in /p2p/ and the peer id')
    return text


def _split_list(value: object) -> object:
    """The environment writes lists as a, b."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _parse_http(value: object) -> str:
    text = str(value)
    if not text:
        return text
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise ValueError(f'"{text[:60]}" is not host:port, like "127.0.0.1:8420"')
    name = host.strip("[]")
    try:
        loopback = name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ValueError(f'"{host[:60]}" is not a loopback address; put a reverse proxy in front to publish it')
    return text


Size = Annotated[int, BeforeValidator(_parse_size)]
DurationNs = Annotated[int, BeforeValidator(_parse_duration), Field(gt=0)]
PartPpm = Annotated[int, BeforeValidator(_parse_ppm)]
AddressField = Annotated[Address, BeforeValidator(_parse_address)]
Price = Annotated[str, BeforeValidator(_parse_price)]
Multiaddr = Annotated[str, BeforeValidator(_parse_multiaddr)]
Bootstrap = Annotated[str, BeforeValidator(_parse_bootstrap)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class NodeConfig(_Section):
    """[node]. Empty paths and database_url mean the places in home."""

    data_dir: Path = Path()
    database_url: str = ""
    password_file: Path = Path()
    listen: Annotated[tuple[Multiaddr, ...], NoDecode, BeforeValidator(_split_list)] = ("/ip4/0.0.0.0/tcp/0",)
    bootstrap: Annotated[tuple[Bootstrap, ...], NoDecode, BeforeValidator(_split_list)] = ()
    announce: Annotated[tuple[Multiaddr, ...], NoDecode, BeforeValidator(_split_list)] = ()
    dht: bool = True
    relay: bool = False
    http: Annotated[str, BeforeValidator(_parse_http)] = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class ChainConfig(_Section):
    """[chain]. rpc_url "" means the one in the manifest."""

    manifest: Path
    rpc_url: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = ""


class Prices(_Section):
    """[provider.prices]: decimal strings in the provider's asset."""

    vcpu_hour: Price
    memory_gib_hour: Price
    disk_gib_hour: Price = "0"
    gpu_hour: Price = "0"
    ingress_gb: Price = "0"
    egress_gb: Price = "0"


class Share(_Section):
    """[provider.share]: how much of this host is offered."""

    vcpus: Annotated[float, Field(gt=0, le=4096)]
    memory_bytes: Size = Field(alias="memory")
    disk_bytes: Size = Field(alias="disk")
    gpus: Annotated[int, Field(ge=0, le=1024)] = 0


class Sla(_Section):
    """[provider.sla]: the promise made with every quote."""

    availability_ppm: PartPpm = Field(alias="availability")
    refund_ppm: PartPpm = Field(alias="refund")


class ProviderConfig(_Section):
    """[provider]. Present on a node that sells compute."""

    owner: AddressField
    region: Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-]{1,32}$")]
    prices: Prices
    share: Share
    sla: Sla | None = None
    asset: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,16}$")] = "OPENX"
    interval_ns: DurationNs = Field(default=5_000_000_000, alias="interval")
    exposure_intervals: Annotated[int, Field(ge=1, le=100)] = 2
    max_duration_ns: DurationNs = Field(default=86_400_000_000_000, alias="max_duration")
    quote_ttl_ns: DurationNs = Field(default=30_000_000_000, alias="quote_ttl")
    thaw_s: Annotated[int, Field(ge=1, le=30 * 86_400)] = 3600
    allow_network: bool = False
    oci_runtime: Annotated[str, Field(pattern=r"^[A-Za-z0-9_./\-]{1,128}$")] = "crun"


class SubmitterConfig(_Section):
    """[submitter]. payer: whose deposit pays, None on a node that buys nothing; quotes: how many are asked."""

    payer: AddressField | None = None
    quotes: Annotated[int, Field(ge=1, le=16)] = 3
    thaw_s: Annotated[int, Field(ge=1, le=30 * 86_400)] = 3600
    silence_ns: Annotated[int, BeforeValidator(_parse_silence)] = Field(default=120_000_000_000, alias="silence")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything a daemon is told. Paths are absolute."""

    home: Home
    node: NodeConfig
    chain: ChainConfig
    provider: ProviderConfig | None
    submitter: SubmitterConfig


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    node: NodeConfig = NodeConfig()
    chain: ChainConfig
    provider: ProviderConfig | None = None
    submitter: SubmitterConfig = SubmitterConfig()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The file's values come in as init values, and the environment overrides them.
        return env_settings, init_settings


def load_config(home: Home) -> Config:
    """The settings of this home. Raises UserError with one line for every wrong one."""
    table = read_table(home)
    try:
        settings = _Settings(**table)
    except ValidationError as error:
        raise UserError("\n".join(_describe(home, details) for details in error.errors())) from error
    except ValueError as error:
        # pydantic-settings: a whole section in one variable that is not JSON.
        raise UserError(str(error), where="environment", hint="set XNODE_SECTION__KEY, one for each setting") from error
    node = settings.node.model_copy(update=_make_paths(home, settings.node))
    chain = settings.chain.model_copy(update={"manifest": _resolve(home, settings.chain.manifest)})
    return Config(home, node, chain, settings.provider, settings.submitter)


def _make_paths(home: Home, node: NodeConfig) -> dict[str, Any]:
    data = home.data if node.data_dir == Path() else _resolve(home, node.data_dir)
    return {
        "data_dir": data,
        "database_url": node.database_url or f"sqlite:///{data / 'xnode.db'}",
        "password_file": home.password if node.password_file == Path() else _resolve(home, node.password_file),
    }


def _resolve(home: Home, path: Path) -> Path:
    """Relative to the home, so that a daemon means the same file from wherever it was started."""
    return home.folder / path.expanduser()


# ------------------------------------------------------------------------------------------------------ error messages


def _describe(home: Home, details: ErrorDetails) -> str:
    names = [str(part) for part in details["loc"]]
    variable = _find_variable(names)
    where = f"environment {variable}" if variable else str(home.config)
    what, hint = _explain(names, details)
    return f"{where}: {'.'.join(names)}: {what}" + (f"\nhint: {hint}" if hint else "")


def _explain(names: list[str], details: ErrorDetails) -> tuple[str, str]:
    kind, message = details["type"], details["msg"]
    if kind == "extra_forbidden":
        near = get_close_matches(names[-1], _known_names(names[:-1]), n=1)
        return "no such setting", f'did you mean "{near[0]}"?' if near else "take it out"
    if kind == "missing" and names == ["chain"]:
        return "missing", "run `xnode provider init --chain MANIFEST` or `xnode daemon init --chain MANIFEST`"
    if kind == "missing":
        return "missing", "add it"
    return message.removeprefix("Value error, "), ""


def _find_variable(names: list[str]) -> str:
    """The variable of the environment that sets this, or ""."""
    wanted = ENV_PREFIX + "__".join(name for name in names if not name.isdecimal())
    return next((name for name in os.environ if name.upper() == wanted.upper()), "")


def _known_names(section: list[str]) -> list[str]:
    model: Any = _Settings
    for name in section:
        model = next((kind for key, kind in _models_of(model) if key == name), None)
        if model is None:
            return []
    return [field.alias or name for name, field in model.model_fields.items()]


def _models_of(model: Any) -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        kinds = (field.annotation, *getattr(field.annotation, "__args__", ()))
        kind = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if kind:
            yield field.alias or name, kind
