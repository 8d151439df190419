"""Check: the contracts of a manifest are the ones we know, byte for byte, and wired to each other and to nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from metering.eip712 import Domain
from xnode.chain.abi.artifacts import load_artifact
from xnode.chain.abi.codec import View, show_value
from xnode.chain.contracts import compute_credit, payment_escrow, provider_registry
from xnode.chain.deployment.manifest import Contracts, Manifest
from xnode.chain.deployment.wiring import list_holds, list_judges, list_not_payable
from xnode.chain.node.json_rpc import JsonRpc, Query
from xnode.chain.node.questions import ask_code
from xnode.errors import Permanent
from xnode.text.hex import checksum_address

ARTIFACT_OF = {
    "timelock": "Timelock",
    "openx_token": "OpenxToken",
    "provider_registry": "ProviderRegistry",
    "split_registry": "SplitRegistry",
    "randomness": "RandaoRandomness",
    "verifier_registry": "VerifierRegistry",
    "challenge_rules": "ChallengeRules",
    "capacity_registry": "CapacityRegistry",
    "gpu_credit": "ComputeCredit",
    "cpu_credit": "ComputeCredit",
    "payment_escrow": "PaymentEscrow",
    "fault_prover": "FaultProver",
    "over_capacity": "OverCapacity",
    "breach_prover": "BreachProver",
    "answer_reveals": "AnswerReveals",
}
"""What was built for each of a manifest's contracts."""

_CREDITS = ("gpu_credit", "cpu_credit")


class _Wire(NamedTuple):
    """What a contract must answer, and what it is wrong about when it does not."""

    of: str
    what: str
    query: Query
    due: Any

    def describe(self, answer: Any) -> Permanent:
        """What is wrong about an answer that is not what is due."""
        where = checksum_address(self.query.to)
        return Permanent(
            f"{self.of} {where} {self.what}: {show_value(answer)} instead of {show_value(self.due)}",
            code="deployment",
            hint="fix the manifest",
        )


async def check_deployment(rpc: JsonRpc, manifest: Manifest) -> None:
    """Nothing, when all contracts are ours and wired as they should be; else Permanent naming the one that is not."""
    other = await find_other_owner(rpc, manifest)
    if other is not None:
        raise other


async def find_other_owner(rpc: JsonRpc, manifest: Manifest) -> Permanent | None:
    """Like check_deployment, but an owner that is not the manifest's timelock is returned instead of raised.

    For what lets money leave or keeps a promise: no owner of this bytecode can stop that, or take what is there.
    """
    await _check_codes(rpc, manifest.contracts)
    owners = list(_list_owners(manifest.contracts))
    wires = [*_list_wires(manifest), *_list_domains(manifest)]
    answers = await rpc.view_all([wire.query for wire in (*wires, *owners)])
    wrong = [
        wire.describe(answer) for wire, answer in zip(wires, answers[: len(wires)], strict=True) if answer != wire.due
    ]
    if wrong:
        raise wrong[0]
    await _check_assets(rpc, manifest)
    others = zip(owners, answers[len(wires) :], strict=True)
    return next((wire.describe(answer) for wire, answer in others if answer != wire.due), None)


async def _check_assets(rpc: JsonRpc, manifest: Manifest) -> None:
    """The escrow takes what the manifest lists, and burns the credits among them at a claim, and nothing else."""
    escrow, assets = manifest.contracts.payment_escrow, manifest.assets
    states = await rpc.view_each(escrow, payment_escrow.ASSET_OF, [(asset.address,) for asset in assets])
    for asset, state in zip(assets, states, strict=True):
        if not state.is_accepted:
            hint = "take it out of the manifest"
            raise Permanent(f"{asset.symbol} is not accepted by the escrow", code="deployment", hint=hint)
        if state.is_credit != manifest.is_credit(asset.address):
            burns = "burned" if state.is_credit else "paid out"
            hint = "fix the manifest"
            raise Permanent(f"{asset.symbol} is {burns} by claims of the escrow", code="deployment", hint=hint)
    missing = {manifest.contracts.gpu_credit, manifest.contracts.cpu_credit} - {asset.address for asset in assets}
    if missing:
        raise Permanent("the manifest's assets lack tGPU or tCPU", code="deployment", hint="get it again")


async def _check_codes(rpc: JsonRpc, contracts: Contracts) -> None:
    named = [(name, getattr(contracts, name)) for name in ARTIFACT_OF]
    codes = await rpc.ask_all([ask_code(address) for _, address in named])
    for (name, address), code in zip(named, codes, strict=True):
        where, due = f"{checksum_address(address)} on {rpc.where}", ARTIFACT_OF[name]
        if not code:
            await rpc.confirm_empty(address)
            raise Permanent(f"no {due} at {where}", code="deployment", hint=f"check {name} in the manifest")
        if not load_artifact(due).matches(code):
            hint = f"check {name} in the manifest or upgrade xnode"
            raise Permanent(f"{where} is not the {due} we know", code="deployment", hint=hint)


def _list_owners(c: Contracts) -> Iterator[_Wire]:
    """Who governs each contract that is governed."""
    for name in ("openx_token", "verifier_registry", "challenge_rules", *_CREDITS, "payment_escrow"):
        yield _make_wire(c, name, "is owned by another than the timelock", "owner", c.timelock)


def _list_wires(manifest: Manifest) -> Iterator[_Wire]:
    """Who each contract asks and obeys, but its owner."""
    c = manifest.contracts
    yield _make_wire(c, "provider_registry", "stakes another token", "openx", c.openx_token)
    yield _make_wire(c, "provider_registry", "lets another refund", "refunder", c.breach_prover)
    for what, view, entries in (
        ("lets others take stake", "judgesOf", list_judges(c)),
        ("is held by others", "holdsOf", list_holds((c.gpu_credit, c.cpu_credit), c.verifier_registry)),
    ):
        yield _make_wire(c, "provider_registry", what, view, tuple(msgspec.structs.astuple(one) for one in entries))
    for address in list_not_payable(c):
        query = Query(c.provider_registry, provider_registry.IS_NOT_PAYABLE, (address,))
        yield _Wire("provider_registry", f"lets {checksum_address(address)} be a payout", query, True)
    yield _make_wire(c, "capacity_registry", "knows another registry", "registry", c.provider_registry)
    yield _make_wire(c, "capacity_registry", "takes another token", "openx", c.openx_token)
    yield _make_wire(c, "capacity_registry", "draws other verifiers", "verifiers", c.verifier_registry)
    yield _make_wire(c, "capacity_registry", "goes by other rules", "rules", c.challenge_rules)
    yield _make_wire(c, "capacity_registry", "draws by another randomness", "randomness", c.randomness)
    yield _make_wire(c, "verifier_registry", "knows another registry", "registry", c.provider_registry)
    yield _make_wire(c, "verifier_registry", "pays another token", "openx", c.openx_token)
    yield _make_wire(c, "verifier_registry", "obeys another capacity registry", "capacity", c.capacity_registry)
    yield _make_wire(c, "verifier_registry", "lets another put in doubt", "reveals", c.answer_reveals)
    yield _make_wire(c, "challenge_rules", "knows another registry", "registry", c.provider_registry)
    for kind, name in zip(compute_credit.Kind, _CREDITS, strict=True):
        yield _make_wire(c, name, "is of another kind", "kind", int(kind))
        yield _make_wire(c, name, "knows another registry", "registry", c.provider_registry)
        yield _make_wire(c, name, "knows another capacity", "capacity", c.capacity_registry)
    yield _make_wire(c, "payment_escrow", "pays by another registry", "registry", c.provider_registry)
    yield _make_wire(c, "payment_escrow", "pays other splits", "splits", c.split_registry)
    if manifest.min_thaw_s:
        yield _make_wire(c, "payment_escrow", "takes another least thaw", "minThaw", manifest.min_thaw_s)
    for name in ("fault_prover", "over_capacity", "breach_prover"):
        yield _make_wire(c, name, "knows another registry", "registry", c.provider_registry)
        yield _make_wire(c, name, "judges documents of another escrow", "escrow", c.payment_escrow)
    yield _make_wire(c, "answer_reveals", "knows another registry", "registry", c.provider_registry)
    for name in ("fault_prover", "over_capacity", "answer_reveals"):
        yield _make_wire(c, name, "knows another capacity", "capacity", c.capacity_registry)


def _list_domains(manifest: Manifest) -> Iterator[_Wire]:
    """Where each contract takes signatures."""
    c, chain_id = manifest.contracts, manifest.chain_id
    for name in ("provider_registry", "capacity_registry", "payment_escrow"):
        due = Domain(chain_id, getattr(c, name)).separator()
        yield _make_wire(c, name, "signs in another domain", "domainSeparator", due)


def _make_wire(contracts: Contracts, name: str, what: str, view: str, due: Any) -> _Wire:
    return _Wire(name, what, Query(getattr(contracts, name), View(ARTIFACT_OF[name], view, _only)), due)


def _only(value: Any) -> Any:
    return value
