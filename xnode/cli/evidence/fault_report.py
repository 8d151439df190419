"""Fault report: what documents prove, and the commitment, the wait and the proof that make it count."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trio

from metering.evidence import LeaseDocument, NumberedDocument
from metering.faults import Equivocation, FalseVerdict, Proof, WrongElement
from metering.over_capacity import OverCapacity, find_window
from metering.receipt import SignedReceipt
from metering.units import NANOS_PER_HOUR, Address, Hash32
from xnode.chain.contracts import fault_prover
from xnode.chain.fault_search import SignedDocument, choose_proofs, find_proofs, judge_of, read_proven
from xnode.chain.intents.faults import commit_fault, prove_fault
from xnode.chain.intents.session import WalletSession
from xnode.chain.node.questions import ask_receipt
from xnode.cli.access.access import Access, make_intent
from xnode.cli.access.deployment import run_async
from xnode.cli.evidence.commitments import forget_salt, keep_salt
from xnode.cli.evidence.files import read_documents
from xnode.cli.terminal.brief import brief_date, brief_id, brief_text
from xnode.cli.terminal.screen import Column, Screen, say
from xnode.errors import ExitCode, UserError
from xnode.text.amount import OPENX_DECIMALS, format_amount
from xnode.text.hex import to_hex

LOOK_EVERY_S = 5.0
"""While the commitment's delay passes: how often the chain is asked for its time."""

MARGIN_S = 60
"""A commitment that would be too old so soon is made anew: the proof must still be mined."""

_FOUND = (Column("fault"), Column("provider"), Column("about", fold=True), Column("proved already"))
_REPORTED = (Column("fault"), Column("provider"), Column("slashed", right=True), Column("reward", right=True))


def find_faults(access: Access, paths: Sequence[Path]) -> list[dict[str, Any]]:
    """What the documents prove, as plain data. UserError, NOT_FOUND, when it is nothing."""
    deployment, documents = access.deployment, read_documents(paths)

    async def work() -> list[dict[str, Any]]:
        async with deployment.connect() as rpc:
            proofs = await find_proofs(rpc, deployment.manifest, documents)
            proven = await read_proven(rpc, deployment.manifest, proofs)
        return [make_row(*pair) for pair in zip(proofs, proven, strict=True)]

    rows = run_async(work)
    if not rows:
        raise _nothing(documents)
    return rows


def report_faults(access: Access, paths: Sequence[Path], no_wait: bool) -> list[dict[str, Any]]:
    """Prove what the documents show, or with no_wait only commit to it; what came of each."""
    deployment, documents = access.deployment, read_documents(paths)

    async def work() -> list[dict[str, Any]]:
        async with deployment.connect() as rpc:
            found = await find_proofs(rpc, deployment.manifest, documents)
            proofs = choose_proofs(found)
            proven = await read_proven(rpc, deployment.manifest, proofs)
        if not proofs:
            raise _nothing(documents)
        if len(proofs) < len(found):
            say(f"of {len(found)} proofs the latest of each kind: what belongs to one episode is one fault")
        new = [proof for proof, known in zip(proofs, proven, strict=True) if not known]
        if not new:
            raise UserError(
                "all of it was proved before", where=make_row(proofs[0], True)["about"], code=ExitCode.CONFLICT
            )
        # Only now is a password asked for.
        async with access.open() as session:
            return await _Report(access, session).run(new, no_wait)

    return run_async(work)


class _Report:
    """One wallet's proofs on their way. Every step looks first whether an earlier run has done it."""

    def __init__(self, access: Access, session: WalletSession) -> None:
        self._home, self._session, self._rpc, self._manifest = access.app.home, session, session.rpc, session.manifest

    async def run(self, proofs: Sequence[Proof], no_wait: bool) -> list[dict[str, Any]]:
        ready_s = max([await self._commit(proof) for proof in proofs])
        if no_wait and await self._session.chain_time_s() < ready_s:
            say(f"the same command proves it from {brief_date(ready_s * 10**9)} on")
            return [{**make_row(proof, False), "provable_from_s": ready_s} for proof in proofs]
        await self._wait(ready_s)
        return [await self._prove(proof) for proof in proofs]

    async def _commit(self, proof: Proof) -> int:
        """When the evidence can be shown that is committed to now, by the chain's clock."""
        judge, rpc = judge_of(self._manifest, proof), self._rpc
        salt = keep_salt(self._home, self._manifest, proof.evidence_id, self._session.address)
        commitment = fault_prover.make_commitment(self._session.address, proof.evidence_id, salt)
        delay_s = await rpc.view(judge, fault_prover.COMMIT_DELAY)
        life_s = await rpc.view(judge, fault_prover.COMMIT_LIFE)
        since_s = await rpc.view(judge, fault_prover.COMMITTED_AT, commitment)
        if since_s and await self._session.chain_time_s() < since_s + life_s - MARGIN_S:
            say(f"committed to it at {brief_date(since_s * 10**9)}")
            return since_s + delay_s
        say(f"committing to: {describe(proof)} ...")
        await commit_fault(self._session, make_intent("commit"), proof, salt)
        return await rpc.view(judge, fault_prover.COMMITTED_AT, commitment) + delay_s

    async def _wait(self, ready_s: int) -> None:
        left_s = ready_s - await self._session.chain_time_s()
        if left_s > 0:
            say(f"waiting until {brief_date(ready_s * 10**9)}, so that no one can be first by copying the proof ...")
        while left_s > 0:
            await trio.sleep(min(left_s, LOOK_EVERY_S))
            left_s = ready_s - await self._session.chain_time_s()

    async def _prove(self, proof: Proof) -> dict[str, Any]:
        salt = keep_salt(self._home, self._manifest, proof.evidence_id, self._session.address)
        say(f"proving: {describe(proof)} ...")
        sent = await prove_fault(self._session, make_intent("prove"), proof, salt, say)
        forget_salt(self._home, self._manifest, proof.evidence_id, self._session.address)
        proven = await self._read_proven(sent.tx_hash, judge_of(self._manifest, proof))
        return {
            **make_row(proof, True),
            "slashed": format_amount(proven.slashed if proven else 0, OPENX_DECIMALS),
            "reward": format_amount(proven.reward if proven else 0, OPENX_DECIMALS),
            "tx_hash": to_hex(sent.tx_hash),
        }

    async def _read_proven(self, tx_hash: Hash32, judge: Address) -> fault_prover.FaultProven | None:
        event = fault_prover.FAULT_PROVEN
        receipt = await self._rpc.ask(ask_receipt(tx_hash))
        for log in receipt.logs if receipt else ():
            if log.topics[:1] == (event.topic,) and log.address == judge:
                return event.decode(log)
        return None


def make_row(proof: Proof, proven: bool) -> dict[str, Any]:
    """A fault as plain data."""
    return {
        "fault": proof.fault.name.lower(),
        "provider": to_hex(proof.provider),
        "about": describe(proof),
        "proven": proven,
        "evidence_id": to_hex(proof.evidence_id),
    }


def describe(proof: Proof) -> str:
    """What was signed twice or wrong, in one line."""
    match proof:
        case Equivocation(a=SignedReceipt(receipt=receipt)):
            return f"two different receipts {receipt.number} of lease {to_hex(receipt.lease_id)}"
        case Equivocation(a=NumberedDocument() as document):
            return f"two different {document.kind.lower()}s {document.number} of node {to_hex(document.node)}"
        case Equivocation():
            return f"two different verdicts of {to_hex(proof.provider)} on one challenge"
        case OverCapacity(pairs=pairs):
            first_ns, last_ns = find_window(pairs)
            hours = (last_ns - first_ns) / NANOS_PER_HOUR
            return f"{len(pairs)} leases used more within {hours:.2g} hours than verdict {proof.history_index} allows"
        case WrongElement(document=answered):
            answer = answered.signed.answer
            return f"a wrong element in device {answer.device} of challenge {to_hex(answer.challenge_id)}"
        case FalseVerdict(document=judged):
            return f"a verdict that passed a wrong element of challenge {to_hex(judged.signed.verdict.challenge_id)}"
    return f"{proof.fault.name.lower()} {to_hex(proof.evidence_id)}"


def draw_faults(screen: Screen, answer: list[dict[str, Any]]) -> None:
    """Print what was found."""
    cells = (
        (row["fault"], row["provider"], brief_text(row["about"]), "yes" if row["proven"] else "no") for row in answer
    )
    screen.table(_FOUND, cells)
    if not all(row["proven"] for row in answer):
        say("next: xnode fault report, with the same documents")


def draw_reported(screen: Screen, answer: list[dict[str, Any]]) -> None:
    """Print what came of the reports."""
    done = [row for row in answer if "slashed" in row]
    if done:
        cells = ((row["fault"], row["provider"], f"{row['slashed']} OPENX", f"{row['reward']} OPENX") for row in done)
        screen.table(_REPORTED, cells)
    for row in done:
        say(f"proved in {brief_id(row['tx_hash'])}…")


def _nothing(documents: Sequence[SignedDocument]) -> UserError:
    leases = any(isinstance(one, LeaseDocument) for one in documents)
    receipts = any(isinstance(one, SignedReceipt) for one in documents)
    return UserError(
        f"{len(documents)} documents prove no fault",
        where="evidence",
        hint="see docs/protocol.md" if leases or not receipts else "name the lease-*.json of the receipts too",
        code=ExitCode.NOT_FOUND,
    )
