"""Plan: everything that a deployment's constructors take, with names, as a TOML file that people read and review."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from metering.codec import encode
from metering.eip712 import keccak
from metering.units import ZERO_ADDRESS, Address, Amount, Hash32
from xnode.chain.abi.artifacts import CONTRACTS, load_artifact
from xnode.chain.contracts.challenge_rules import KINDS, CapacitySettings, DeviceClass
from xnode.chain.contracts.verifier_registry import VerifierSettings
from xnode.chain.deployment.bounds import find_outside
from xnode.chain.deployment.chains import CHAINS, DEVNET, find_chain_of
from xnode.chain.deployment.manifest import Asset, parse_address
from xnode.chain.deployment.misfit import explain_misfit, make_misfit, say_key
from xnode.chain.deployment.safety import find_unsafe
from xnode.errors import UserError
from xnode.given_file import read_given_text
from xnode.text.amount import OPENX_DECIMALS, parse_amount
from xnode.text.hex import checksum_address

MAX_PLAN_BYTES = 1 << 20
"""A plan has a page; more is the wrong file."""

FASTER = 2
"""How much faster than the plan says blocks may come: a busy chain's own unevenness."""

MOST_PLACEHOLDER = 0xFFFF
"""Addresses up to here are the example's, or precompiled contracts: a key for one is never found."""


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
        if ZERO_ADDRESS in self.proposers:
            raise ValueError("proposers must not name the zero address: nobody could ever propose")


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
    """One deployment. chain: the kind it is for, of deployment.chains; block_ms, number_ms: how often blocks come there, and
    how often block.number grows in a contract; assets: accepted beside OPENX and the credits; rpc_url: of a chain node that
    anyone may use.

    In a file, confirmations and draw_delay_blocks stand in seconds: see read_plan."""

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
    chain: str = DEVNET
    block_ms: int = 1_000
    number_ms: int = 1_000

    def __post_init__(self) -> None:
        if self.chain not in CHAINS:
            raise ValueError(f"chain must be one of: {', '.join(CHAINS)}")
        if self.block_ms < 1 or self.number_ms < 1:
            raise ValueError("block_ms must be at least 1")
        if not self.classes:
            raise ValueError("classes must have an entry, or no provider could have capacity verified")
        if len({one.name for one in self.classes}) != len(self.classes):
            raise ValueError("classes must not have the same name twice: a provider could declare only one of them")
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
    """The plan in a file. UserError naming the setting that is wrong, or unsafe on the plan's kind of chain.

    What contracts and nodes count in blocks, the file says in seconds: confirmation_s and capacity.draw_delay_s.
    """
    try:
        text = read_given_text(path, MAX_PLAN_BYTES)
        raw = tomllib.loads(text)
    except OSError as error:
        reason = error.strerror or "unknown"
        raise UserError(f"cannot read the plan: {reason}", where=str(path), hint="check the path") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"not TOML: {error}", where=str(path), hint="fix it") from error
    try:
        parsed = _parse_addresses(_count_blocks(raw, str(path)), str(path))
        plan: Plan = msgspec.convert(parsed, Plan, builtin_types=(bytes,), dec_hook=_parse_special)
    except msgspec.ValidationError as error:
        raise explain_misfit(error, Plan, text, str(path), "see contracts/plan.example.toml") from error
    for place, what in find_outside(plan):
        raise make_misfit(text, str(path), place, f"{say_key(place)}: {what}", "see contracts/plan.example.toml")
    for unsafe in find_unsafe(plan):
        raise UserError(f"{unsafe.setting} {unsafe.reason}", where=str(path), hint=unsafe.hint)
    return plan


def check_chain(plan: Plan, chain_id: int, where: str) -> None:
    """Raise UserError when the chain that answers is known to be of another kind than the plan is for."""
    found = find_chain_of(chain_id)
    if found not in (None, plan.chain):
        raise UserError(
            f"the plan is for {plan.chain}, but chain {chain_id} is {found}", where=where, hint="set chain in the plan"
        )


def check_owned(plan: Plan, where: str) -> None:
    """Raise UserError for an address that nobody has the key of: the zero address where somebody is to get or do something, and
    those of the example, which are small numbers."""
    rule, get = plan.governance, {"openx.holder": plan.openx.holder} if plan.openx.supply else {}
    named = {f"governance.proposers[{number}]": one for number, one in enumerate(rule.proposers)}
    named |= {f"governance.executors[{number}]": one for number, one in enumerate(rule.executors) if any(one)}
    named |= {f"assets[{number}].address": one.address for number, one in enumerate(plan.assets)}
    named |= {"governance.guardian": rule.guardian} if any(rule.guardian) else {}
    for key, address in (get | named).items():
        if int.from_bytes(address) <= MOST_PLACEHOLDER:
            what = "the zero address" if address == ZERO_ADDRESS else f"{checksum_address(address)}, as in the example"
            raise UserError(f"{key} is {what}: nobody has its key", where=where, hint="write one of yours")


def check_pace(plan: Plan, timestamps: Sequence[int], where: str) -> None:
    """Raise UserError when blocks come much faster than the plan says, so that what it counts in blocks is too short.

    timestamps: of blocks that follow each other, in whole seconds.
    """
    if plan.chain == DEVNET or len(timestamps) < 3:
        return
    most_ms = (timestamps[-1] - timestamps[0] + 1) * 1000 // (len(timestamps) - 1)
    if most_ms * FASTER < plan.block_ms:
        what = f"blocks come every {most_ms} ms or faster, and the plan counts on {plan.block_ms} ms"
        raise UserError(what, where=where, hint=f"set block_ms to {most_ms} or less")


def _count_blocks(raw: dict[str, Any], where: str) -> dict[str, Any]:
    """The same tables with blocks where the file says seconds."""
    chain, given = CHAINS.get(str(raw.get("chain"))), raw.get("capacity")
    if chain is None:
        what = f"chain {raw['chain']!r} is not known" if "chain" in raw else "does not say for which chain it is"
        raise UserError(what, where=where, hint=f"set chain to one of: {', '.join(CHAINS)}")
    if not isinstance(given, dict):
        raise UserError("capacity must be a table", where=where, hint="see contracts/plan.example.toml")
    capacity = dict(given)
    for counted, seconds in (("confirmations", "confirmation_s"), ("draw_delay_blocks", "draw_delay_s")):
        if counted in raw or counted in capacity:
            what = f"{counted} would count blocks, which come at another pace on each chain"
            raise UserError(what, where=where, hint=f"write {seconds}, in seconds")
    block_ms = _take_whole(raw, "block_ms", where, chain.block_ms)
    number_ms = chain.number_ms or block_ms
    capacity["draw_delay_blocks"] = _blocks_in(_take_whole(capacity, "draw_delay_s", where), number_ms)
    confirmations = _blocks_in(_take_whole(raw, "confirmation_s", where), block_ms)
    rest = {name: value for name, value in raw.items() if name != "confirmation_s"}
    del capacity["draw_delay_s"]
    return rest | {
        "capacity": capacity,
        "confirmations": confirmations,
        "block_ms": block_ms,
        "number_ms": number_ms,
    }


def _take_whole(table: dict[str, Any], name: str, where: str, otherwise: int | None = None) -> int:
    value = table.get(name, otherwise)
    if not isinstance(value, int) or value < 1:
        what = f"{name} is missing" if value is None else f"{name} must be a whole number above zero, not {value!r}"
        raise UserError(what, where=where, hint="see contracts/plan.example.toml")
    return value


def _blocks_in(seconds: int, block_ms: int) -> int:
    """Enough blocks for at least so long."""
    return -(-seconds * 1000 // block_ms)


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
