"""Faults: a reporter's commitment and proof, and a payer's proof of a broken promise."""

from __future__ import annotations

from collections.abc import Callable

from metering.evidence import LeaseDocument
from metering.faults import Proof
from metering.over_capacity import MAX_PAIRS, OverCapacity, chain_of
from metering.receipt import SignedReceipt
from metering.terms import Escrow
from metering.units import Hash32
from xnode.chain.contracts import breach_prover, fault_prover, over_capacity
from xnode.chain.fault_search import judge_of
from xnode.chain.intents.session import WalletSession
from xnode.ports.chain import Sent

Say = Callable[[str], None]


async def commit_fault(session: WalletSession, intent: str, proof: Proof, salt: Hash32) -> Sent:
    """Commits to evidence that the wallet will show."""
    commitment = fault_prover.make_commitment(session.address, proof.evidence_id, salt)
    return await session.send(intent, judge_of(session.manifest, proof), fault_prover.COMMIT.encode(commitment))


async def prove_fault(
    session: WalletSession, intent: str, proof: Proof, salt: Hash32, say: Say = lambda _text: None
) -> Sent:
    """Proves a fault that the wallet committed to; the reward is its."""
    if isinstance(proof, OverCapacity):
        return await _prove_case(session, intent, proof, salt, say)
    return await session.send(intent, judge_of(session.manifest, proof), fault_prover.make_proof(proof, salt))


async def _prove_case(session: WalletSession, intent: str, proof: OverCapacity, salt: Hash32, say: Say) -> Sent:
    """Gathers the case in as many transactions as it takes, going on where an earlier run stopped, and closes it."""
    judge, separator = session.manifest.contracts.over_capacity, session.manifest.domain.separator()
    commitment = fault_prover.make_commitment(session.address, proof.evidence_id, salt)
    case = await session.rpc.view(judge, over_capacity.CASE_OF, session.address, commitment)
    done = case.pairs if case.provider == proof.provider and case.history_index == proof.history_index else 0
    if case.provider != proof.provider or case.chain != chain_of(proof.pairs[:done], separator):
        await session.send(f"{intent}/open", judge, over_capacity.make_opening(proof, commitment))
        done = 0
    while done < len(proof.pairs):
        part = proof.pairs[done : done + MAX_PAIRS]
        await session.send(f"{intent}/{done}", judge, over_capacity.make_addition(commitment, part))
        done += len(part)
        say(f"shown: {done} of {len(proof.pairs)} leases")
    return await session.send(f"{intent}/close", judge, over_capacity.CLOSE.encode(commitment, salt))


# ----------------------------------------------------------------------------------------------------------------- breach


async def prove_breach(session: WalletSession, intent: str, document: LeaseDocument, last: SignedReceipt) -> Sent:
    """Has what both promised for a breach given back to the payer of the lease's escrow."""
    return await _send(session, intent, breach_prover.make_breach(document, last))


async def claim_silence(session: WalletSession, intent: str, document: LeaseDocument, known: SignedReceipt) -> Sent:
    """Asks a lease's provider, on chain, for a receipt newer than this one."""
    return await _send(session, intent, breach_prover.make_claim(document, known))


async def answer_silence(session: WalletSession, intent: str, newer: SignedReceipt) -> Sent:
    """Shows a receipt that answers a claim of silence, or the last one of a lease before any claim."""
    return await _send(session, intent, breach_prover.make_answer(newer))


async def settle_silence(session: WalletSession, intent: str, escrow: Escrow, lease_id: Hash32) -> Sent:
    """Has what a lease owes given back whose silence was not answered in time."""
    return await _send(session, intent, breach_prover.SETTLE_SILENCE.encode(escrow, lease_id))


async def collect_shortfall(session: WalletSession, intent: str, lease_id: Hash32) -> Sent:
    """Has what a lease's reserve lacked paid to its payer, out of the provider's stake."""
    return await _send(session, intent, breach_prover.COLLECT.encode(lease_id))


async def _send(session: WalletSession, intent: str, data: bytes) -> Sent:
    return await session.send(intent, session.manifest.contracts.breach_prover, data)
