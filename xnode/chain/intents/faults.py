"""Faults: a reporter's commitment and proof, and a payer's proof of a broken promise."""

from __future__ import annotations

from metering.evidence import LeaseDocument
from metering.faults import Proof
from metering.receipt import SignedReceipt
from metering.units import Hash32
from xnode.chain.contracts import fault_prover
from xnode.chain.intents.session import WalletSession
from xnode.ports.chain import Sent


async def commit_fault(session: WalletSession, intent: str, commitment: Hash32) -> Sent:
    """Commits to a fault that the wallet will prove."""
    return await session.send(intent, session.manifest.contracts.fault_prover, fault_prover.COMMIT.encode(commitment))


async def prove_fault(session: WalletSession, intent: str, proof: Proof, salt: Hash32) -> Sent:
    """Proves a fault that the wallet committed to; the reward is its."""
    return await session.send(intent, session.manifest.contracts.fault_prover, fault_prover.make_proof(proof, salt))


async def prove_breach(session: WalletSession, intent: str, document: LeaseDocument, last: SignedReceipt) -> Sent:
    """Has what both promised for a breach given back to the payer of the lease's escrow."""
    return await session.send(intent, session.manifest.contracts.fault_prover, fault_prover.make_breach(document, last))
