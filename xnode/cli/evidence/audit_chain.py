"""Audit against the chain: what was claimed from each escrow is what the evidence promises."""

from __future__ import annotations

from collections.abc import Sequence

from metering.evidence import LeaseEvidence
from metering.refusal import Refusal
from metering.units import Hash32
from metering.voucher import SignedVoucher
from xnode.chain.contracts.events import CLAIMED, Claimed
from xnode.chain.node.history import read_history
from xnode.chain.node.json_rpc import JsonRpc
from xnode.cli.access.deployment import Deployment
from xnode.errors import ExitCode, UserError


async def compare_claims(deployment: Deployment, evidence: Sequence[LeaseEvidence]) -> list[str]:
    """One line for each escrow. Raises UserError, REFUSED, when the chain tells another story."""
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
            claim = await _read_claim(rpc, deployment, escrow_id)
            refusal = check_claim(claim, leases)
            if refusal is not None:
                raise _refuse(leases[0], refusal)
            lines.append(_describe(claim, escrow_id, _find_promised(leases)))
    return lines


def check_claim(claim: Claimed | None, leases: Sequence[LeaseEvidence]) -> Refusal | None:
    """What is wrong with the last claim on an escrow."""
    if claim is None:
        return None
    promised = _find_promised(leases)
    if claim.claimed > promised:
        return Refusal(
            "chain_claimed", f"{claim.claimed} is claimed on chain, and the vouchers shown promise {promised}"
        )
    vouchers = (one.voucher for one in _list_promises(leases))
    hashes = {one.receipts_hash for one in vouchers if one.cumulative == claim.claimed}
    if hashes and claim.receipts_hash not in hashes:
        return Refusal(
            "chain_receipts_hash", f"{claim.claimed} was claimed under a hash of other receipts than the ones shown"
        )
    return None


async def _read_claim(rpc: JsonRpc, deployment: Deployment, escrow_id: Hash32) -> Claimed | None:
    contract, first = deployment.manifest.contracts.payment_escrow, deployment.manifest.deployed_at_block
    raw = await read_history(rpc, contract, (CLAIMED.topic, escrow_id), first)
    return CLAIMED.decode(raw[-1]) if raw else None


def _find_promised(leases: Sequence[LeaseEvidence]) -> int:
    return max((int(one.voucher.cumulative) for one in _list_promises(leases)), default=0)


def _list_promises(leases: Sequence[LeaseEvidence]) -> list[SignedVoucher]:
    plain = [one.signed for lease in leases for one in lease.vouchers]
    return plain + [one.signed for lease in leases for one in lease.ahead]


def _describe(claim: Claimed | None, escrow_id: Hash32, promised: int) -> str:
    claimed = claim.claimed if claim is not None else 0
    return f"escrow 0x{escrow_id.hex()[:16]}: {claimed} of {promised} promised is claimed on chain"


def _refuse(lease: LeaseEvidence, refusal: Refusal) -> UserError:
    return UserError(str(refusal), where=f"lease 0x{lease.lease_id.hex()[:16]}", code=ExitCode.REFUSED)
