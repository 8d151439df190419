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
    """One line for each escrow. Raises UserError, REFUSED, when the chain tells another story.

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
            refusal = check_claims(claims, leases)
            if refusal is not None:
                raise _refuse(leases[0], refusal)
            lines.append(describe_claims(claims, leases, manifest.assets))
    return lines


def check_claims(claims: Sequence[Claimed], leases: Sequence[LeaseEvidence]) -> Refusal | None:
    """What is wrong with the claims on an escrow, each of which names the receipts that it pays for."""
    hashes: dict[int, set[Hash32]] = {}
    for one in _list_promises(leases):
        hashes.setdefault(int(one.voucher.cumulative), set()).add(one.voucher.receipts_hash)
    asset = leases[0].document.terms.asset
    for claim in claims:
        if claim.receipts_hash not in hashes.get(int(claim.claimed), {claim.receipts_hash}):
            amount = say_amount(claim.claimed, asset)
            return Refusal(
                "chain_receipts_hash", f"{amount} was claimed under a hash of other receipts than the ones shown"
            )
    return None


def describe_claims(claims: Sequence[Claimed], leases: Sequence[LeaseEvidence], assets: Sequence[Asset]) -> str:
    """How much of what the documents promise is claimed, and what was claimed on later ones."""
    terms, promised = leases[0].document.terms, _find_promised(leases)
    claimed = int(claims[-1].claimed) if claims else 0

    def show(amount: int) -> str:
        known = next((one for one in assets if one.address == terms.asset), None)
        return known.show(amount) if known else say_amount(amount, terms.asset)

    line = (
        f"escrow 0x{terms.escrow_id.hex()[:16]}: {show(min(claimed, promised))} of {show(promised)} promised is claimed"
    )
    if claimed <= promised:
        return f"{line} on chain"
    return (
        f"{line} on chain, and {show(claimed - promised)} on vouchers signed later: export the evidence again for those"
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
    return UserError(str(refusal), where=f"lease 0x{lease.lease_id.hex()[:16]}", code=ExitCode.REFUSED)
