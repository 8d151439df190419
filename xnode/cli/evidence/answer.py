"""Answers to claims of silence: a provider's newest receipts, shown on chain in its time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metering.receipt import SignedReceipt
from metering.units import NANOS_PER_SECOND, Hash32
from xnode.chain.contracts import breach_prover
from xnode.chain.intents.faults import answer_silence
from xnode.chain.intents.session import WalletSession
from xnode.chain.node.json_rpc import Reverted
from xnode.cli.access.access import Access, make_intent
from xnode.cli.evidence.files import read_documents
from xnode.cli.terminal.brief import brief_date, brief_id
from xnode.cli.terminal.screen import Column, Screen, say
from xnode.errors import ExitCode, UserError
from xnode.text.hex import to_hex

_COLUMNS = (Column("lease"), Column("receipt", right=True), Column("what came of it", fold=True))


def answer_claims(access: Access, paths: Sequence[Path], ended: bool) -> list[dict[str, str]]:
    """Show the newest receipt of each lease whose silence is claimed; with ended also last receipts that nobody asked for."""
    newest = _find_newest(paths)
    if not newest:
        raise UserError(
            "no receipts found among these documents", where="evidence", code=ExitCode.NOT_FOUND,
            hint="write some with `xnode provider documents --export DIR`",
        )  # fmt: skip

    async def work(session: WalletSession) -> list[dict[str, str]]:
        rows = [await _answer(session, one, ended) for one in newest]
        return [row for row in rows if row is not None]

    rows = access.act(work, leaves=True)
    if not rows:
        raise UserError(
            "no silence is claimed of the leases in these documents", where="evidence", code=ExitCode.NOT_FOUND,
            hint="nothing is to be done",
        )  # fmt: skip
    return rows


def draw_answers(screen: Screen, rows: list[dict[str, str]]) -> None:
    """Print what came of it."""
    screen.table(_COLUMNS, ((brief_id(row["lease_id"]), row["number"], row["outcome"]) for row in rows))


def _find_newest(paths: Sequence[Path]) -> list[SignedReceipt]:
    newest: dict[Hash32, SignedReceipt] = {}
    for one in read_documents(paths):
        if isinstance(one, SignedReceipt):
            known = newest.get(one.receipt.lease_id)
            if known is None or one.receipt.number > known.receipt.number:
                newest[one.receipt.lease_id] = one
    return list(newest.values())


async def _answer(session: WalletSession, signed: SignedReceipt, ended: bool) -> dict[str, str] | None:
    receipt, judge = signed.receipt, session.manifest.contracts.breach_prover
    claimed = await session.rpc.view(judge, breach_prover.SILENCE_OF, receipt.lease_id)
    row = {"lease_id": to_hex(receipt.lease_id), "number": str(receipt.number)}
    until = brief_date(claimed.answer_until * NANOS_PER_SECOND)
    if claimed.due and await session.chain_time_s() > claimed.answer_until:
        return {**row, "outcome": f"too late: an answer was due until {until}"}
    if claimed.due and receipt.number > claimed.number and (receipt.final or receipt.at_ns >= claimed.late_ns):
        say(f"answering for lease {brief_id(row['lease_id'])} ...")
        await answer_silence(session, make_intent("answer"), signed)
        return {**row, "outcome": "answered"}
    if claimed.due:
        return {**row, "outcome": f"no answer: show a newer receipt, or the last one, until {until}"}
    if not (ended and receipt.final):
        return None
    try:
        await answer_silence(session, make_intent("answer"), signed)
    except Reverted as error:
        if error.revert.name != "LeaseIsOver":
            raise
        return {**row, "outcome": "noted as over before"}
    return {**row, "outcome": "noted as over"}
