"""`xnode pay refund`: has what provider and submitter promised for too little availability given back to the payer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from metering.evidence import LeaseDocument
from metering.receipt import SignedReceipt
from metering.sla import find_breach, find_claim_time, find_more, find_silence
from metering.units import NANOS_PER_SECOND, Amount, Hash32
from xnode.chain.contracts import breach_prover
from xnode.chain.deployment.manifest import Asset, Manifest
from xnode.chain.fault_search import SignedDocument
from xnode.chain.intents.faults import claim_silence, collect_shortfall, prove_breach, settle_silence
from xnode.chain.intents.session import WalletSession
from xnode.chain.node.json_rpc import Reverted
from xnode.chain.provider_record import read_stake
from xnode.cli.access.access import Access, make_intent
from xnode.cli.access.options import payer_options
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.evidence.files import read_documents
from xnode.cli.terminal.brief import brief_date, brief_id
from xnode.cli.terminal.given import GivenPath
from xnode.cli.terminal.reverts import explain
from xnode.cli.terminal.screen import Column, Screen, say
from xnode.errors import ExitCode, UserError
from xnode.text.hex import to_hex

_COLUMNS = (
    Column("lease"),
    Column("provider"),
    Column("refunded", right=True),
    Column("due", right=True),
    Column("next", fold=True),
)


@dataclass(frozen=True, slots=True)
class Promised:
    """A lease with a promise, and the newest receipt of it that is shown."""

    lease: LeaseDocument
    newest: SignedReceipt

    @property
    def due(self) -> Amount | None:
        """What its own last receipt says that it owes."""
        return find_breach(self.lease.terms, self.newest.receipt)

    @property
    def label(self) -> str:
        """Names it to people."""
        return f"lease {brief_id(to_hex(self.lease.lease_id))}"


@click.command("refund")
@click.argument(
    "documents", nargs=-1, required=True, metavar="FOLDER|FILE...", type=GivenPath(path_type=Path, exists=True)
)
@payer_options
@output_option
@pass_app
def refund(app: App, /, documents: tuple[Path, ...], screen: Screen, **options: Any) -> None:
    """Get back what a provider promised for too little availability.

    Shows a lease's terms and last receipt (written by `xnode job receipts JOB --export DIR`) to the chain. When the
    workload ran for less of the time than the provider promised, what both signed for that goes back to the deposit.
    Where the provider never signed a last receipt, it is asked on chain for a newer one and has a day to show it; what
    it has claimed already comes out of its stake, if it was paid in OPENX: after the stake's thaw, and only for a week,
    in which the submitter's daemon collects it by itself, if its node key has gas.
    It can be asked from an hour to three days after its newest receipt. The same command goes on where it stopped. Any
    wallet may pay the gas.
    """
    access = Access.of_payer(app, **options)
    promised = find_promised(read_documents(documents), access.manifest)
    if not promised:
        raise _nothing()

    async def work(session: WalletSession) -> list[dict[str, str]]:
        rows = [await _try(session, one) for one in promised]
        return [row for row in rows if row is not None]

    answer = access.act(work)
    if not answer:
        raise _nothing()
    cells = ((brief_id(row["lease_id"]), row["provider"], *_make_sums(row), row["next"]) for row in answer)
    screen.show(answer, lambda: screen.table(_COLUMNS, cells))
    failed = [row for row in answer if row["failed"]]
    if failed:
        raise UserError(
            f"{len(failed)} of {len(answer)} leases could not be refunded: {failed[0]['failed']}",
            where=f"lease {brief_id(failed[0]['lease_id'])}",
            hint="the others went on; run this again when that is mended",
            code=ExitCode.REFUSED,
        )


async def _try(session: WalletSession, promised: Promised) -> dict[str, str] | None:
    """As _Refund.run, but what keeps one lease from its money keeps no other from its own: it is in the row."""
    one = _Refund(session, promised)
    try:
        return await one.run()
    except Reverted as error:
        told = await one.explain(error)
    except UserError as error:
        told = error
    return one.make_row(
        0, int(promised.due or 0), f"failed: {told.what}{f'; {told.hint}' if told.hint else ''}", told.what
    )


def find_promised(documents: Sequence[SignedDocument], manifest: Manifest) -> list[Promised]:
    """The leases of this deployment that promise something, each with its newest receipt."""
    newest: dict[Hash32, SignedReceipt] = {}
    for one in documents:
        if isinstance(one, SignedReceipt):
            known = newest.get(one.receipt.lease_id)
            if known is None or one.receipt.number > known.receipt.number:
                newest[one.receipt.lease_id] = one
    separator = manifest.domain.separator()
    leases = {one.lease_id: one for one in documents if isinstance(one, LeaseDocument) and one.separator == separator}
    return [
        Promised(lease, newest[lease_id])
        for lease_id, lease in leases.items()
        if lease_id in newest and lease.terms.availability_ppm and lease.terms.refund_ppm
    ]


def describe_wait(promised: Promised, now_ns: int) -> str:
    """When the provider can be asked on chain for a newer receipt, if it is not now and would bring something; else empty."""
    terms, known = promised.lease.terms, promised.newest.receipt
    begin_ns, end_ns = find_claim_time(terms, known)
    if known.final or begin_ns <= now_ns <= end_ns or find_silence(terms, known, begin_ns) is None:
        return ""
    if now_ns > end_ns:
        return f"nothing: silence after this receipt could be claimed until {brief_date(end_ns)}"
    return f"if nothing newer was signed by {brief_date(begin_ns)}, run this again then, until {brief_date(end_ns)}"


class _Refund:
    """One lease on its way to its money. Every step looks first what an earlier run, or another party, has done."""

    def __init__(self, session: WalletSession, promised: Promised) -> None:
        self._session, self._promised, self._rpc = session, promised, session.rpc
        self._judge = session.manifest.contracts.breach_prover
        self._lease_id = promised.lease.lease_id

    async def run(self) -> dict[str, str] | None:
        """What came of it; None when the lease owes nothing."""
        before = await self._rpc.view(self._judge, breach_prover.REFUNDED_OF, self._lease_id)
        due = await self._go_on(before)
        after = await self._rpc.view(self._judge, breach_prover.REFUNDED_OF, self._lease_id)
        short = await self._rpc.view(self._judge, breach_prover.SHORTFALL_OF, self._lease_id)
        silence = await self._rpc.view(self._judge, breach_prover.SILENCE_OF, self._lease_id)
        now_s = await self._session.chain_time_s()
        wait = describe_wait(self._promised, now_s * NANOS_PER_SECOND)
        if not (due or after or short.amount or silence.due or wait):
            return None
        then = wait
        if silence.due:
            then = f"the provider may answer until {brief_date(silence.answer_until * NANOS_PER_SECOND)}"
        elif short.amount and now_s < short.payable_until:
            since, until = (brief_date(at * NANOS_PER_SECOND) for at in (short.payable_at, short.payable_until))
            then = (
                f"{self._show(short.amount)} out of its stake from {since} to {until}: the submitter's daemon collects it if it"
                " runs then and its node key has gas; else run this again"
            )
        return self.make_row(after - before, max(due, silence.due, after), then)

    async def _go_on(self, refunded: int) -> int:
        """Take the next step there is, and tell what is due in all."""
        now_s = await self._session.chain_time_s()
        silence = await self._rpc.view(self._judge, breach_prover.SILENCE_OF, self._lease_id)
        short = await self._rpc.view(self._judge, breach_prover.SHORTFALL_OF, self._lease_id)
        lease, newest, due = self._promised.lease, self._promised.newest, self._promised.due
        noted = short.amount if now_s < short.payable_until else 0
        if noted and now_s >= short.payable_at:
            say(f"{self._promised.label}: collecting out of stake ...")
            await collect_shortfall(self._session, make_intent("collect"), self._lease_id)
        elif due and refunded + noted < due:
            self._require_signed()
            say(f"proving that {self._promised.label} ran too little ...")
            await prove_breach(self._session, make_intent("breach"), lease, newest)
        elif due:
            say(f"{self._promised.label} was refunded before")
        elif silence.due and self._find_more(silence) > silence.due:
            self._require_signed()
            say(
                f"{self._promised.label}: silence was claimed by an older receipt; claiming what is due by this one ..."
            )
            await claim_silence(self._session, make_intent("silence"), lease, newest)
        elif silence.due and now_s > silence.answer_until:
            say(f"{self._promised.label}: the provider did not answer; settling ...")
            await settle_silence(self._session, make_intent("settle"), lease.escrow, self._lease_id)
            return silence.due
        elif not silence.due:
            await self._claim(now_s)
        return due or 0

    def _find_more(self, silence: breach_prover.Silence) -> int:
        claimed_ns = (silence.answer_until - breach_prover.ANSWER_TIME_S) * NANOS_PER_SECOND
        receipt = self._promised.newest.receipt
        return find_more(self._promised.lease.terms, receipt, claimed_ns, silence.late_ns) or 0

    def _show(self, amount: int) -> str:
        asset = self._session.manifest.find_asset(to_hex(self._promised.lease.terms.asset))
        return f"{asset.format(amount)} {asset.symbol}"

    async def _claim(self, now_s: int) -> None:
        lease, newest = self._promised.lease, self._promised.newest
        if find_silence(lease.terms, newest.receipt, now_s * NANOS_PER_SECOND):
            self._require_signed()
            say(f"{self._promised.label}: asking the provider on chain for a newer receipt ...")
            await claim_silence(self._session, make_intent("silence"), lease, newest)

    def _require_signed(self) -> None:
        if not self._promised.lease.node_signature:
            raise UserError(
                "the provider's signature under the terms is not in the documents",
                where=self._promised.label,
                hint="export them from the node that ran the job: xnode job receipts JOB --export DIR",
                code=ExitCode.REFUSED,
            )

    async def explain(self, error: Reverted) -> UserError:
        """Why the contract gave nothing: an empty reserve, and a stake of which nothing is free, look alike to it."""
        if error.revert.name != "NothingToRefund":
            return explain(error.revert)
        stake = await read_stake(self._rpc, self._session.manifest, self._promised.lease.terms.provider)
        if stake.own.can_leave:
            return explain(error.revert)
        return UserError(
            "the reserve is empty, and no stake of the provider is free now",
            hint="run this again when its stake is free: `xnode provider capacity --of` and `reputation` show the provider",
        )

    def make_row(self, refunded: int, due: int, then: str, failed: str = "") -> dict[str, str]:
        """What came of it, amounts in the lease's asset. failed: why nothing did, "" where nothing went wrong."""
        terms = self._promised.lease.terms
        asset: Asset = self._session.manifest.find_asset(to_hex(terms.asset))
        return {
            "lease_id": to_hex(self._lease_id),
            "provider": to_hex(terms.provider),
            "asset": asset.symbol,
            "refunded": asset.format(refunded),
            "due": asset.format(due),
            "next": then,
            "failed": failed,
        }


def _make_sums(row: dict[str, str]) -> tuple[str, str]:
    return f"{row['refunded']} {row['asset']}", f"{row['due']} {row['asset']}"


def _nothing() -> UserError:
    return UserError(
        "no broken promise is in these documents",
        where="evidence",
        hint="see `xnode job show`",
        code=ExitCode.NOT_FOUND,
    )
