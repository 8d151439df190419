"""Audit against the chain: what was claimed from each escrow is what the evidence promises."""

from __future__ import annotations

from collections.abc import Sequence

from metering.evidence import LeaseEvidence
from metering.money_words import say_amount
from metering.refusal import Refusal
from metering.units import Hash32
from metering.voucher import SignedVoucher
from xnode.chain.contracts.events import CLAIMED, Claimed
from xnode.chain.deployment.manifest import Asset
from xnode.chain.node.history import read_history
from xnode.chain.node.json_rpc import JsonRpc
from xnode.cli.access.deployment import Deployment
from xnode.errors import ExitCode, UserError


async def compare_claims(deployment: Deployment, evidence: Sequence[LeaseEvidence]) -> list[str]:
    """One line for each escrow. Raises UserError, REFUSED, for documents of another chain or escrow contract.

    A claim above what the documents promise is none: the contract took it only with a signature of the escrow's signer, so the
    documents were exported before that was signed.
    """
    manifest = deployment.manifest
    lines = []
    for lease in evidence:
        if (lease.document.chain_id, lease.document.contract) != (manifest.chain_id, manifest.contracts.payment_escrow):
            raise _refuse(
                lease, Refusal("domain", "it was signed for another chain or escrow contract than the manifest's")
            )
    async with deployment.connect() as rpc:
        for escrow_id in dict.fromkeys(lease.document.terms.escrow_id for lease in evidence):
            leases = [lease for lease in evidence if lease.document.terms.escrow_id == escrow_id]
            claims = await _read_claims(rpc, deployment, escrow_id)
            lines.append(describe_claims(claims, leases, manifest.assets))
    return lines


def count_unshown(claims: Sequence[Claimed], leases: Sequence[LeaseEvidence]) -> int:
    """How many claims were made on a voucher that is not among the documents, though one of the same sum is.

    It accuses no one: two vouchers may promise one sum, when receipts that cost nothing came between them, and a party that
    exports keeps only the newest. The contract took the claim with the signature of the escrow's signer.
    """
    hashes: dict[int, set[Hash32]] = {}
    for one in _list_promises(leases):
        hashes.setdefault(int(one.voucher.cumulative), set()).add(one.voucher.receipts_hash)
    return sum(one.receipts_hash not in hashes.get(int(one.claimed), {one.receipts_hash}) for one in claims)


def describe_claims(claims: Sequence[Claimed], leases: Sequence[LeaseEvidence], assets: Sequence[Asset]) -> str:
    """How much of what the documents promise is claimed, and what was claimed on later ones."""
    terms, promised = leases[0].document.terms, _find_promised(leases)
    claimed = int(claims[-1].claimed) if claims else 0

    def show(amount: int) -> str:
        known = next((one for one in assets if one.address == terms.asset), None)
        return known.show(amount) if known else say_amount(amount, terms.asset)

    unshown = count_unshown(claims, leases)
    note = (
        f"; {unshown} of {len(claims)} claims were on an earlier voucher of the same sum, not shown here"
        if unshown
        else ""
    )
    line = (
        f"escrow 0x{terms.escrow_id.hex()[:16]}: {show(min(claimed, promised))} of {show(promised)} promised is claimed"
    )
    if claimed <= promised:
        return f"{line} on chain{note}"
    return (
        f"{line} on chain, and {show(claimed - promised)} on vouchers signed later: export the evidence again for those"
        + note
    )


async def _read_claims(rpc: JsonRpc, deployment: Deployment, escrow_id: Hash32) -> list[Claimed]:
    contract, first = deployment.manifest.contracts.payment_escrow, deployment.manifest.deployed_at_block
    raw = await read_history(rpc, contract, (CLAIMED.topic, escrow_id), first)
    return [CLAIMED.decode(one) for one in raw]


def _find_promised(leases: Sequence[LeaseEvidence]) -> int:
    return max((int(one.voucher.cumulative) for one in _list_promises(leases)), default=0)


def _list_promises(leases: Sequence[LeaseEvidence]) -> list[SignedVoucher]:
    plain = [one.signed for lease in leases for one in lease.vouchers]
    return plain + [one.signed for lease in leases for one in lease.ahead]


def _refuse(lease: LeaseEvidence, refusal: Refusal) -> UserError:
    hint = "name the manifest of the deployment that it ran on with --chain"
    return UserError(str(refusal), where=f"lease 0x{lease.lease_id.hex()[:16]}", hint=hint, code=ExitCode.REFUSED)
