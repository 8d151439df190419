"""Manifest: where the contracts live on one chain, as a TOML file that operators pass around."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from metering.eip712 import Domain
from metering.units import Address
from xnode.chain.contracts import payment_escrow, provider_registry
from xnode.chain.deployment.misfit import explain_misfit
from xnode.durable import replace_file
from xnode.errors import UserError
from xnode.given_file import read_given_text
from xnode.text.amount import brief_amount, format_amount
from xnode.text.hex import checksum_address, to_hex

MAX_BOOTSTRAP = 64
"""Peers to start from: a node asks all of them."""

_PEER = re.compile(r"(/[A-Za-z0-9._:%@\-]{1,128}){2,10}/p2p/[A-Za-z0-9]{1,128}")

MAX_ASSETS = 64
"""Assets are accepted one by one by the escrow's owner; a longer list is not a manifest."""

MAX_FILE_BYTES = 1 << 20
"""Addresses and assets fill a screenful; more is the wrong file."""

MAX_THAW_S = 30 * 86_400
"""PaymentEscrow's own MAX_THAW."""

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


class Asset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token that the escrow accepts. decimals: of the amounts people write."""

    symbol: str
    decimals: int
    address: Address

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9.]{1,16}", self.symbol):
            raise ValueError("symbol must have 1 to 16 letters, digits or dots")
        if not 0 <= self.decimals <= 36:
            raise ValueError("decimals must be between 0 and 36")

    def format(self, amount: int) -> str:
        """The base units as people write them: "12.5"."""
        return format_amount(amount, self.decimals)

    def show(self, amount: int) -> str:
        """The base units with the symbol, for people: "12.5 OPENX"."""
        return brief_amount(format_amount(amount, self.decimals), self.symbol)


class Contracts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The addresses of one deployment's contracts."""

    timelock: Address
    openx_token: Address
    provider_registry: Address
    split_registry: Address
    randomness: Address
    verifier_registry: Address
    challenge_rules: Address
    capacity_registry: Address
    gpu_credit: Address
    cpu_credit: Address
    payment_escrow: Address
    fault_prover: Address
    over_capacity: Address
    breach_prover: Address
    answer_reveals: Address


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One deployment. deployed_at_block: no event of ours is before it; confirmations: blocks, the event's own
    included, before it counts; rpc_url: a node of the chain, when there is one that anyone may use; bootstrap: peers of this
    market to start from, each with its /p2p/ part; min_thaw_s: the least thaw that the escrow takes, 0 where the manifest of
    an older deployment does not say."""

    chain_id: int
    deployed_at_block: int
    confirmations: int
    contracts: Contracts
    assets: tuple[Asset, ...]
    rpc_url: str = ""
    bootstrap: tuple[str, ...] = ()
    min_thaw_s: int = 0

    def __post_init__(self) -> None:
        if len(self.bootstrap) > MAX_BOOTSTRAP or not all(_PEER.fullmatch(one) for one in self.bootstrap):
            raise ValueError(f"bootstrap must have at most {MAX_BOOTSTRAP} multiaddrs that end in /p2p/ and a peer id")
        if not 0 < self.chain_id < 1 << 63:
            raise ValueError("chain_id must be between 1 and 2**63-1")
        if not 0 <= self.deployed_at_block < 1 << 63:
            raise ValueError("deployed_at_block must not be negative")
        if not 1 <= self.confirmations <= 10_000:
            raise ValueError("confirmations must be between 1 and 10000")
        if not 0 <= self.min_thaw_s <= MAX_THAW_S:
            raise ValueError(f"min_thaw_s must be between 0 and {MAX_THAW_S}")
        if not 1 <= len(self.assets) <= MAX_ASSETS:
            raise ValueError(f"assets must have 1 to {MAX_ASSETS} entries")
        for name in ("symbol", "address"):
            if len({getattr(asset, name) for asset in self.assets}) != len(self.assets):
                raise ValueError(f"assets must not have the same {name} twice")
        if self.rpc_url and not re.match(r"https?://[^/\s]+", self.rpc_url):
            raise ValueError("rpc_url must begin with http:// or https://")

    @property
    def domain(self) -> Domain:
        """Where vouchers, receipts and lease terms count."""
        return payment_escrow.make_domain(self.chain_id, self.contracts.payment_escrow)

    @property
    def registry_domain(self) -> Domain:
        """Where node keys' consents count."""
        return provider_registry.make_domain(self.chain_id, self.contracts.provider_registry)

    @property
    def capacity_domain(self) -> Domain:
        """Where capacity answers and verdicts count."""
        return Domain(self.chain_id, self.contracts.capacity_registry)

    @property
    def credits(self) -> tuple[Asset, ...]:
        """Those assets that are compute credits: a claim burns them at the provider instead of paying them out."""
        return tuple(asset for asset in self.assets if self.is_credit(asset.address))

    def is_credit(self, asset: Address) -> bool:
        """True for tGPU and tCPU."""
        return asset in (self.contracts.gpu_credit, self.contracts.cpu_credit)

    def find_asset(self, symbol_or_address: str) -> Asset:
        """The asset of that symbol or address. UserError when there is none."""
        for asset in self.assets:
            if symbol_or_address.lower() in (asset.symbol.lower(), to_hex(asset.address)):
                return asset
        known = ", ".join(asset.symbol for asset in self.assets)
        raise UserError(f"no asset {symbol_or_address!r} on this chain", where="asset", hint=f"choose one of: {known}")


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file. UserError naming the field that is wrong."""
    try:
        text = read_given_text(path, MAX_FILE_BYTES)
        raw = tomllib.loads(text)
    except OSError as error:
        reason = error.strerror or "unknown"
        raise UserError(f"cannot read the manifest: {reason}", where=str(path), hint="check the path") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"not TOML: {error}", where=str(path), hint="fix it or get it again") from error
    _require_whole(raw, path)
    try:
        return msgspec.convert(_parse_addresses(raw, path), Manifest, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        raise explain_misfit(error, Manifest, text, str(path), "fix it or get it again") from error


def _require_whole(raw: dict[str, Any], path: Path) -> None:
    """Raise UserError for a manifest of the time before there were credits, capacity and fault proofs."""
    named = raw.get("contracts")
    missing = [name for name in Contracts.__struct_fields__ if isinstance(named, dict) and name not in named]
    if missing:
        raise UserError(
            f"lacks {', '.join(missing)}: it is of an older deployment",
            where=str(path),
            hint="get the manifest of the current one (on a devnet: remove its folder and start it again)",
        )


def _parse_addresses(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """The same tables with addresses as bytes; whatever has another shape is left for the conversion to name."""
    parsed = dict(raw)
    contracts, assets = raw.get("contracts"), raw.get("assets")
    if isinstance(contracts, dict):
        parsed["contracts"] = {
            name: parse_address(text, f"{path}: contracts.{name}") for name, text in contracts.items()
        }
    if isinstance(assets, list) and all(isinstance(asset, dict) for asset in assets):
        parsed["assets"] = [
            {**asset, "address": parse_address(asset.get("address"), f"{path}: assets[{number}].address")}
            for number, asset in enumerate(assets)
        ]
    return parsed


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Replaces the file as a whole."""
    replace_file(path, format_manifest(manifest))


def format_manifest(manifest: Manifest) -> str:
    """The TOML text of a manifest."""
    lines = [f"chain_id = {manifest.chain_id}"]
    if manifest.rpc_url:
        lines.append(f"rpc_url = {json.dumps(manifest.rpc_url)}")
    lines += [f"deployed_at_block = {manifest.deployed_at_block}", f"confirmations = {manifest.confirmations}"]
    if manifest.min_thaw_s:
        lines.append(f"min_thaw_s = {manifest.min_thaw_s}")
    if manifest.bootstrap:
        lines.append(f"bootstrap = {json.dumps(manifest.bootstrap)}")
    lines += ["", "[contracts]"]
    for name in Contracts.__struct_fields__:
        lines.append(f'{name} = "{checksum_address(getattr(manifest.contracts, name))}"')
    for asset in manifest.assets:
        lines += ["", "[[assets]]", f'symbol = "{asset.symbol}"', f"decimals = {asset.decimals}"]
        lines.append(f'address = "{checksum_address(asset.address)}"')
    return "\n".join(lines) + "\n"


def parse_address(text: Any, where: str) -> Address:
    """The address behind 0x and 40 hex digits; mixed case must be the right checksum. UserError else."""
    if not isinstance(text, str) or not _ADDRESS.fullmatch(text):
        raise UserError(f"{text!r} is not an address", where=where, hint="write 0x and 40 hex digits")
    address = Address(bytes.fromhex(text[2:]))
    if text[2:] not in (text[2:].lower(), text[2:].upper()) and text != checksum_address(address):
        raise UserError(f"{text} has a wrong checksum", where=where, hint="one digit is mistyped: copy it again")
    return address
