"""Plan: everything that a deployment's constructors take, with names, as a TOML file that people read and review."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from metering.codec import encode
from metering.eip712 import keccak
from metering.units import Address, Amount, Hash32
from xnode.chain.abi.artifacts import CONTRACTS, load_artifact
from xnode.chain.contracts.challenge_rules import KINDS, CapacitySettings, DeviceClass
from xnode.chain.contracts.verifier_registry import VerifierSettings
from xnode.chain.deployment.manifest import Asset, parse_address
from xnode.errors import UserError
from xnode.given_file import read_given_text
from xnode.text.amount import OPENX_DECIMALS, parse_amount

MAX_PLAN_BYTES = 1 << 20
"""A plan has a page; more is the wrong file."""


class Supply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All OPENX that is ever made on its home chain, and who gets it. Zero on every other chain, where bridges bring it."""

    holder: Address
    supply: Amount


class Governance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may propose and cancel, who may execute after delay_s (the zero address: anyone), and who may stop new deposits
    at once (the zero address: no one)."""

    proposers: tuple[Address, ...]
    executors: tuple[Address, ...]
    guardian: Address
    delay_s: int

    def __post_init__(self) -> None:
        if not self.proposers or not self.executors:
            raise ValueError("proposers and executors must each name an address")


class Credits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OPENX of stake behind each tGPU and tCPU; how many hours of verified capacity may be outstanding."""

    gpu_collateral: Amount
    cpu_collateral: Amount
    window_hours: int


class CapacityPlan(CapacitySettings, frozen=True, forbid_unknown_fields=True):
    """What challenges go by, and beside it what verifiers do: see VerifierSettings."""

    leave_delay_s: int
    verifier_stake: Amount


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One deployment. assets: accepted beside OPENX and the credits; rpc_url: of a chain node that anyone may use."""

    openx: Supply
    governance: Governance
    stake_thaw_s: int
    escrow_min_thaw_s: int
    credits: Credits
    capacity: CapacityPlan
    classes: tuple[DeviceClass, ...]
    assets: tuple[Asset, ...] = ()
    confirmations: int = 1
    rpc_url: str = ""

    def __post_init__(self) -> None:
        if not self.classes:
            raise ValueError("classes must have an entry, or no provider could have capacity verified")
        if self.confirmations < 1:
            raise ValueError("confirmations must be at least 1")

    def make_verifier_values(self) -> tuple[Any, ...]:
        """Settings as VerifierRegistry's constructor takes them."""
        settings = VerifierSettings(self.capacity.leave_delay_s, self.capacity.verifier_stake)
        return msgspec.structs.astuple(settings)

    def make_rules_values(self) -> tuple[tuple[Any, ...], list[tuple[Any, ...]]]:
        """Settings and classes as ChallengeRules' constructor takes them."""
        classes = [
            (one.name, KINDS.index(one.kind), one.weight_milli, one.n, one.time_limit_ms) for one in self.classes
        ]
        settings = tuple(getattr(self.capacity, name) for name in CapacitySettings.__struct_fields__)
        return settings, classes

    def digest(self) -> Hash32:
        """Differs for every other plan, and for other contracts that it would make."""
        return keccak(encode(self) + b"".join(load_artifact(name).bytecode for name in CONTRACTS))


def read_plan(path: Path) -> Plan:
    """The plan in a file. UserError naming the setting that is wrong."""
    try:
        raw = tomllib.loads(read_given_text(path, MAX_PLAN_BYTES))
    except OSError as error:
        reason = error.strerror or "unknown"
        raise UserError(f"cannot read the plan: {reason}", where=str(path), hint="check the path") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"not TOML: {error}", where=str(path), hint="fix it") from error
    try:
        plan: Plan = msgspec.convert(
            _parse_addresses(raw, str(path)), Plan, builtin_types=(bytes,), dec_hook=_parse_special
        )
    except msgspec.ValidationError as error:
        raise UserError(str(error), where=str(path), hint="see contracts/plan.example.toml") from error
    return plan


def _parse_addresses(raw: Any, where: str) -> Any:
    """The same tables with every address as bytes."""
    match raw:
        case dict():
            return {name: _parse_addresses(value, f"{where}: {name}") for name, value in raw.items()}
        case list():
            return [_parse_addresses(value, f"{where}[{number}]") for number, value in enumerate(raw)]
        case str() if raw.startswith("0x"):
            return parse_address(raw, where)
    return raw


def _parse_special(kind: type, value: Any) -> Any:
    if kind is Amount:
        if not isinstance(value, str):
            raise ValueError('write amounts of OPENX as text, like "12.5"')
        try:
            return parse_amount(value, OPENX_DECIMALS)
        except UserError as error:
            raise ValueError(error.what) from error
    raise NotImplementedError(f"{kind!r} cannot be read from a plan")
