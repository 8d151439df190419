"""What a broken promise of availability gives back, by the program itself: refunds, claims of silence and their answers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from msgspec.structs import replace

from metering.evidence import LeaseDocument
from metering.receipt import Receipt, SignedReceipt
from metering.terms import Escrow, escrow_id_of
from metering.units import NANOS_PER_HOUR, NANOS_PER_SECOND, ZERO_HASH, Amount
from metering.usage import NO_USAGE
from metering.voucher import Voucher
from tests.make.values import make_terms
from tests.xnode.chain.devchain import PACE, TOKEN, make_wallet
from tests.xnode.cli.conftest import Run
from tests.xnode.cli.provider import Provider
from xnode.chain.contracts import payment_escrow
from xnode.chain.intents.payments import deposit
from xnode.chain.intents.session import WalletSession, open_session
from xnode.chain.send.tx_journal import make_engine
from xnode.cli.evidence.files import make_page, read_documents
from xnode.cli.evidence.refund import Promised as Shown
from xnode.cli.evidence.refund import describe_wait
from xnode.errors import ExitCode
from xnode.home import Home
from xnode.ports.chain import ClaimRow
from xnode.text.hex import to_hex
from xnode.wallet.signer import WalletKey

pytestmark = [pytest.mark.chain, pytest.mark.slow]

DAY_S = 86_400


@dataclass
class Promised:
    """A lease of ten hours that promises 99 % or 40 % back, of which five ran, for 10 OPENX; its payer reserved 20."""

    provider: Provider
    payer: WalletKey
    node: WalletKey
    escrow: Escrow
    document: LeaseDocument
    begun_ns: int

    def sign(self, number: int, at_hours: float, final: bool = False) -> SignedReceipt:
        at_ns = self.begun_ns + round(at_hours * NANOS_PER_HOUR)
        cost, running_ns = Amount(10 * TOKEN), 5 * NANOS_PER_HOUR
        receipt = Receipt(self.document.lease_id, number, at_ns, running_ns, NO_USAGE, cost, final)
        return SignedReceipt(receipt, self.node.sign_typed(self.provider.deployment.domain, "Receipt", receipt))

    def write(self, name: str, *receipts: SignedReceipt, document: LeaseDocument | None = None) -> str:
        """A folder with the lease's terms and these receipts."""
        folder: Path = self.provider.home.folder / name
        folder.mkdir()
        (folder / "lease-1.json").write_text(json.dumps(make_page(document or self.document)))
        for one in receipts:
            (folder / f"receipt-{one.receipt.number}.json").write_text(json.dumps(make_page(one)))
        return str(folder)

    def refund(self, folder: str) -> Any:
        """The row about the lease."""
        (row,) = self.provider.ask("pay", "refund", folder)
        return row

    def claim_by_voucher(self, amount: int) -> None:
        """The provider is paid so much."""
        domain = self.provider.deployment.domain
        voucher = Voucher(escrow_id_of(domain.separator(), self.escrow), Amount(amount), ZERO_HASH)
        signature = self.payer.sign_typed(domain, "Voucher", voucher)
        (data,) = payment_escrow.make_claims([ClaimRow(self.escrow, voucher, signature)])
        act(self.provider, self.payer, lambda session: session.send("claim", domain.contract, data))


def act(provider: Provider, key: WalletKey, work: Callable[[WalletSession], Awaitable[object]]) -> None:
    """Run what this wallet does on the chain."""
    engine = make_engine(provider.home.folder / f"{key.address.hex()}.sqlite")

    async def main() -> None:
        with trio.fail_after(60):
            async with open_session(provider.deployment, key, engine, pace=PACE) as session:
                await work(session)

    trio.run(main)


@pytest.fixture
def promised(xnode_here: Run, home: Home, manifest: str, password: str) -> Promised:
    provider, payer = Provider(xnode_here, home, manifest, password), make_wallet()
    provider.run("devnet", "fund", to_hex(payer.address))
    provider.run("provider", "stake", "100")
    domain, asset = provider.deployment.domain, provider.deployment.find_asset("OPENX")
    escrow = Escrow(payer.address, payer.address, provider.address, asset.address, ZERO_HASH, 100, 1)

    async def open_escrow(session: WalletSession) -> None:
        await deposit(session, "deposit", asset, Amount(50 * TOKEN))
        await session.send("open", domain.contract, payment_escrow.OPEN.encode(escrow, 20 * TOKEN))

    act(provider, payer, open_escrow)
    begun_ns, node = provider.chain_time_s() * NANOS_PER_SECOND, provider.load_node_key()
    terms = make_terms(
        submitter=payer.address, provider=provider.address, node=node.address, open_until_ns=begun_ns,
        escrow_id=escrow_id_of(domain.separator(), escrow), asset=asset.address,
        availability_ppm=990_000, refund_ppm=400_000, duration_limit_ns=20 * NANOS_PER_HOUR,
    )  # fmt: skip
    ours, theirs = (key.sign_typed(domain, "LeaseTerms", terms) for key in (payer, node))
    document = LeaseDocument(domain.chain_id, domain.contract, escrow, terms, ours, theirs)
    provider.pass_time(10 * 3600)
    return Promised(provider, payer, node, escrow, document, begun_ns)


def test_a_last_receipt_that_shows_a_broken_promise_brings_the_refund_once(promised: Promised) -> None:
    unsigned = replace(promised.document, node_signature=b"")
    last = promised.sign(9, 10, final=True)
    folder = promised.write("unsigned", last, document=unsigned)
    refused = promised.provider.refuse("pay", "refund", folder)
    assert "1 of 1 leases could not be refunded: the provider's signature under the terms is not in the" in refused
    # What keeps one lease from its money keeps no other from its own.
    other = replace(
        unsigned, terms=msgspec.structs.replace(unsigned.terms, open_until_ns=unsigned.terms.open_until_ns + 1)
    )
    stranger = msgspec.structs.replace(last.receipt, lease_id=other.lease_id)
    (Path(folder) / "receipt-other.json").write_text(json.dumps(make_page(replace(last, receipt=stranger))))
    (Path(folder) / "lease-other.json").write_text(json.dumps(make_page(other)))
    refused = promised.provider.refuse("pay", "refund", folder)
    assert "2 of 2 leases could not be refunded" in refused
    folder = promised.write("whole", last)
    row = promised.refund(folder)
    assert (row["refunded"], row["due"], row["next"], row["asset"]) == ("4", "4", "", "OPENX")
    row = promised.refund(folder)
    assert (row["refunded"], row["due"]) == ("0", "4")
    assert "4 OPENX" in promised.provider.run("pay", "refund", folder).stdout


def test_what_the_provider_took_already_comes_out_of_its_stake_a_thaw_later(promised: Promised) -> None:
    promised.claim_by_voucher(20 * TOKEN)
    folder = promised.write("evidence", promised.sign(9, 10, final=True))
    row = promised.refund(folder)
    assert (row["refunded"], row["due"]) == ("0", "4") and row["next"].startswith("4 OPENX out of its stake from ")
    assert promised.refund(folder)["refunded"] == "0", "before its time nothing is collected, and nothing reverts"
    promised.provider.pass_time(2 * DAY_S)
    row = promised.refund(folder)
    assert (row["refunded"], row["next"]) == ("4", "")
    record = promised.provider.ask("provider", "reputation")
    assert (record["stake"], record["faults"]) == ("96", 0)
    assert next((row["refunded"], row["compensated"]) for row in record["assets"]) == ("0", "4")
    assert "base units due out of stake" in promised.provider.run("fault", "list").stdout


def test_a_claim_of_silence_is_answered_by_a_newer_receipt_and_only_by_one(promised: Promised) -> None:
    provider, known, newer = promised.provider, promised.sign(8, 5), promised.sign(9, 10)
    folder, answer = promised.write("known", known), promised.write("newer", newer)
    assert "no silence is claimed" in provider.refuse("fault", "answer", answer, code=ExitCode.NOT_FOUND)

    row = promised.refund(folder)
    assert (row["refunded"], row["due"]) == ("0", "4") and row["next"].startswith("the provider may answer until")
    assert promised.refund(folder)["next"] == row["next"], "a claim that stands is not made again"

    (row,) = provider.ask("fault", "answer", folder)
    assert (row["number"], row["outcome"].partition(":")[0]) == ("8", "no answer")
    (row,) = provider.ask("fault", "answer", folder, answer)
    assert (row["number"], row["outcome"]) == ("9", "answered")
    assert "no silence is claimed" in provider.refuse("fault", "answer", answer, code=ExitCode.NOT_FOUND)
    assert promised.refund(answer)["next"].startswith("if nothing newer was signed by"), "an hour must pass"
    assert "was answered for with a newer receipt" in provider.refuse("pay", "refund", folder)


def test_a_provider_that_vanished_can_be_asked_from_an_hour_to_three_days_later(promised: Promised) -> None:
    known = promised.sign(8, 5)
    assert describe_wait(Shown(promised.document, known), known.receipt.at_ns + 2 * NANOS_PER_HOUR) == ""
    early = describe_wait(Shown(promised.document, known), known.receipt.at_ns + NANOS_PER_HOUR // 2)
    assert early.startswith("if nothing newer was signed by") and ", until " in early
    late = describe_wait(Shown(promised.document, known), known.receipt.at_ns + 73 * NANOS_PER_HOUR)
    assert late.startswith("nothing: silence after this receipt could be claimed until")
    assert describe_wait(Shown(promised.document, promised.sign(9, 10, final=True)), known.receipt.at_ns) == ""


def test_a_silence_that_nobody_answers_gives_back_what_was_promised(promised: Promised) -> None:
    folder = promised.write("known", promised.sign(8, 5))
    promised.refund(folder)
    promised.provider.pass_time(DAY_S + 1)
    late = promised.write("late", promised.sign(9, 10, final=True))
    (row,) = promised.provider.ask("fault", "answer", late)
    assert row["outcome"].startswith("too late")
    row = promised.refund(folder)
    assert (row["refunded"], row["due"], row["next"]) == ("4", "4", "")


def test_a_claim_by_an_early_receipt_gives_way_to_one_by_which_more_is_due(promised: Promised) -> None:
    early = replace(promised.sign(1, 0.01).receipt, cost=Amount(1000), running_ns=NANOS_PER_SECOND)
    signature = promised.node.sign_typed(promised.provider.deployment.domain, "Receipt", early)
    row = promised.refund(promised.write("early", SignedReceipt(early, signature)))
    assert row["due"] == "0.0000000000000004"
    folder = promised.write("known", promised.sign(8, 5))
    row = promised.refund(folder)
    assert (row["refunded"], row["due"]) == ("0", "4")
    promised.provider.pass_time(DAY_S + 1)
    assert promised.refund(folder)["refunded"] == "4"


def test_who_closes_down_notes_its_leases_as_over_before_anybody_claims(promised: Promised) -> None:
    provider = promised.provider
    last = promised.write("last", promised.sign(9, 10, final=True))
    assert "no silence is claimed" in provider.refuse("fault", "answer", last, code=ExitCode.NOT_FOUND)
    (row,) = provider.ask("fault", "answer", "--ended", last)
    assert row["outcome"] == "noted as over"
    (row,) = provider.ask("fault", "answer", "--ended", last)
    assert row["outcome"] == "noted as over before"
    known = promised.write("known", promised.sign(8, 5))
    assert "has shown its last receipt" in provider.refuse("pay", "refund", known)
    assert promised.refund(last)["refunded"] == "4", "the last receipt is evidence itself"


def test_a_receipt_that_was_shown_on_chain_can_be_had_as_a_file_for_a_dispute_offline(promised: Promised) -> None:
    provider, known, newer = promised.provider, promised.sign(8, 5), promised.sign(9, 10)
    folder, lease = promised.write("known", known), to_hex(promised.document.lease_id)
    found = provider.home.folder / "found"
    told = provider.refuse("fault", "shown", lease, "--export", str(found), code=ExitCode.NOT_FOUND)
    assert "no receipt of lease" in told and not found.exists()
    promised.refund(folder)
    provider.run("fault", "answer", promised.write("newer", newer))
    (row,) = provider.ask("fault", "shown", folder, "--export", str(found))
    assert (row["lease_id"], row["number"], row["last"]) == (lease, "9", "no")
    assert Path(row["file"]).parent == found and read_documents([Path(row["file"])]) == [newer]
    assert provider.ask("fault", "shown", lease, "--export", str(found)) == [row], "also when it is asked again"
    # It joins the other documents of its lease.
    provider.run("fault", "shown", lease, "--export", folder)
    assert promised.refund(folder)["next"].startswith("if nothing newer was signed by")
    shown = provider.run("fault", "shown", lease, "--export", str(found))
    assert shown.stdout.split() == [row["file"]] and "receipt 9, shown in block" in shown.stderr


@pytest.mark.parametrize(
    ("name", "told"),
    [("0x12", "not a lease's id, and no such file or folder"), ("chain.toml", "not a signed document")],
)
def test_what_names_no_lease_is_said_before_the_chain_is_asked(promised: Promised, name: str, told: str) -> None:
    (promised.provider.home.folder / "chain.toml").write_text("{}")
    done = promised.provider._xnode("fault", "shown", name, "--export", "found", env=promised.provider._env)
    assert done.returncode in (ExitCode.NOT_FOUND, ExitCode.REFUSED) and told in done.stderr
