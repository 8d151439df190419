"""What documents prove, proved: each kind of fault against a provider with stake, through the committed contracts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from metering.capacity import (
    CapacityAnswer,
    ElementProof,
    SignedAnswer,
    SignedVerdict,
    Verdict,
    find_opened_rows,
)
from metering.eip712 import keccak
from metering.evidence import AnswerDocument, LeaseDocument, NumberedDocument, VerdictDocument
from metering.faults import Fault, Proof
from metering.receipt import Receipt, SignedReceipt
from metering.resources import Resources
from metering.terms import Escrow, LeaseTerms, escrow_id_of
from metering.units import NANOS_PER_HOUR, NANOS_PER_SECOND, ZERO_HASH, Address, Amount, Hash32, mul_div_down
from metering.usage import Counters, usage_of
from tests.make.values import make_tariff
from tests.make.verifiers import Verifiers, make_verifiers
from tests.xnode.chain.devchain import PACE, TOKEN, Bed, make_wallet
from xnode.capacity.tree import hash_leaves, make_tree
from xnode.chain.contracts import fault_prover, payment_escrow
from xnode.chain.contracts.capacity_registry import DEVICE_OF
from xnode.chain.contracts.provider_registry import Role
from xnode.chain.fault_search import SignedDocument, find_proofs, read_proven
from xnode.chain.intents.faults import commit_fault, prove_breach, prove_fault
from xnode.chain.intents.payments import deposit
from xnode.chain.intents.registration import register_provider
from xnode.chain.intents.session import WalletSession, open_session
from xnode.chain.intents.stake import add_stake
from xnode.chain.intents.verification import request_challenge
from xnode.chain.node.json_rpc import Reverted
from xnode.chain.provider_record import read_record, read_stake
from xnode.chain.send.tx_journal import make_engine
from xnode.wallet.signer import NodeSigner, WalletKey

pytestmark = pytest.mark.chain

STAKE = 100 * TOKEN
SALT = Hash32(b"\x05" * 32)
LIMITS = Resources(4000, 1 << 30, 1 << 30)
N = 1024


@dataclass
class Suspect:
    """A provider with stake whose node key signs whatever a test likes, and a reporter who watches it."""

    bed: Bed
    owner: WalletSession
    node: WalletKey
    reporter: WalletSession

    @property
    def provider(self) -> Address:
        return self.owner.address

    def sign(self, name: str, value: Any) -> bytes:
        return self.node.sign_typed(self.bed.manifest.domain, name, value)

    def sign_receipt(self, lease: int, number: int, at_ns: int, vcpu_ns: int, **changes: Any) -> SignedReceipt:
        usage = usage_of(Counters(running_ns=vcpu_ns, vcpu_ns=vcpu_ns), LIMITS)
        receipt = Receipt(Hash32(bytes([lease]) * 32), number, at_ns, vcpu_ns, usage, Amount(5), False)
        receipt = replace(receipt, **changes)
        return SignedReceipt(receipt, self.sign("Receipt", receipt))

    def sign_numbered(self, kind: str, number: int, body: int) -> NumberedDocument:
        domain = self.bed.manifest.domain
        head = (
            domain.chain_id,
            domain.contract,
            kind,
            self.provider,
            self.node.address,
            number,
            7,
            keccak(bytes([body])),
        )
        document = NumberedDocument(*head, b"")  # type: ignore[arg-type]
        return replace(document, signature=self.sign(kind, document))

    async def verify(self, vcpus: int) -> Verifiers:
        """Have so many vCPUs verified."""
        verifiers = await self.request(vcpus)
        await verifiers.judge(self.provider)
        return verifiers

    async def request(self, vcpus: int) -> Verifiers:
        for one in make_verifiers():
            await self.bed.give(one.wallet.address, openx=1000 * TOKEN, wei=TOKEN)
        verifiers = Verifiers(self.bed.rpc, self.bed.manifest, self.bed.folder)
        await verifiers.enlist()
        await request_challenge(self.owner, "request", ((0, vcpus),), Amount(TOKEN))
        return verifiers

    async def find(self, *documents: SignedDocument) -> list[Proof]:
        return await find_proofs(self.bed.rpc, self.bed.manifest, documents)

    async def prove(self, proof: Proof) -> None:
        """What `xnode fault report` does."""
        commitment = fault_prover.make_commitment(self.reporter.address, proof.fault_id, SALT)
        await commit_fault(self.reporter, f"commit {proof.fault_id.hex()}", commitment)
        await pass_time(self.bed, 600)
        await prove_fault(self.reporter, f"prove {proof.fault_id.hex()}", proof, SALT)

    async def check_slashed(
        self, *documents: SignedDocument, fault: Fault, ppm: int, stake: int = STAKE, role: Role = Role.PROVIDER
    ) -> None:
        """The documents prove just this, it costs this part of the stake, and a tenth of that is the reporter's."""
        (proof,) = await self.find(*documents)
        assert (proof.fault, proof.provider) == (fault, self.provider)
        before = await self.bed.openx_of(self.reporter.address)
        await self.prove(proof)
        record = await read_record(self.bed.rpc, self.bed.manifest, self.provider)
        assert (record.faults, record.slashed) == (1, stake * ppm // 10**6)
        left = await read_stake(self.bed.rpc, self.bed.manifest, self.provider)
        assert left.compartment(role).details.staked == stake - record.slashed
        assert await self.bed.openx_of(self.reporter.address) - before == mul_div_down(record.slashed, 1, 10)
        assert await read_proven(self.bed.rpc, self.bed.manifest, [proof]) == [True]


async def pass_time(bed: Bed, seconds: int) -> None:
    await bed.rpc.write("evm_increaseTime", hex(seconds))
    await bed.rpc.write("evm_mine")


@asynccontextmanager
async def open_wallet(bed: Bed, key: WalletKey) -> AsyncIterator[WalletSession]:
    engine = make_engine(bed.folder / f"{key.address.hex()}.sqlite")
    async with open_session(bed.manifest, key, engine, rpc_url=bed.rpc._url, pace=PACE) as payer:
        yield payer


@pytest.fixture
async def suspect(bed: Bed) -> AsyncIterator[Suspect]:
    key, reporter, node = await bed.new_wallet(openx=1000 * TOKEN), await bed.new_wallet(), make_wallet()
    with trio.fail_after(60):
        async with open_wallet(bed, key) as owner, open_wallet(bed, reporter) as watching:
            deadline = await owner.chain_time_s() + 600
            consent = NodeSigner(node, bed.manifest.domain).sign_node_key(
                bed.manifest.registry_domain, key.address, 0, deadline
            )
            await register_provider(owner, "register", node.address, deadline, consent)
            await add_stake(owner, "stake", Amount(STAKE))
            yield Suspect(bed, owner, node, watching)


async def test_two_receipts_of_one_number_are_slashed(suspect: Suspect) -> None:
    ones = [suspect.sign_receipt(1, 7, 1000, 10, cost=Amount(cost)) for cost in (5, 6)]
    await suspect.check_slashed(*ones, suspect.sign_receipt(1, 8, 1000, 10), fault=Fault.EQUIVOCATION, ppm=200_000)


@pytest.mark.parametrize("kind", ["Offer", "Quote"])
async def test_two_offers_or_quotes_of_one_number_are_slashed(suspect: Suspect, kind: str) -> None:
    documents = [suspect.sign_numbered(kind, 3, body) for body in (1, 2)]
    await suspect.check_slashed(*documents, fault=Fault.EQUIVOCATION, ppm=200_000)


async def test_two_verdicts_on_one_challenge_are_slashed(suspect: Suspect) -> None:
    await add_stake(suspect.owner, "pledge", Amount(2 * STAKE), Role.VERIFIER)
    domain, documents = suspect.bed.manifest.capacity_domain, []
    for passed in (True, False):
        verdict = VerdictDocument(domain.chain_id, domain.contract, SignedVerdict(make_verdict(passed), b""))
        signature = suspect.node.sign_typed(domain, "Verdict", verdict.signed.verdict)
        documents.append(replace(verdict, signed=replace(verdict.signed, signature=signature)))
    await suspect.check_slashed(*documents, fault=Fault.EQUIVOCATION, ppm=200_000, stake=2 * STAKE, role=Role.VERIFIER)


def make_verdict(passed: bool) -> Verdict:
    return Verdict(Hash32(b"\x09" * 32), Hash32(b"\x01" * 32), passed, ZERO_HASH)


async def test_more_than_the_verified_capacity_is_slashed_also_when_idle_hours_hide_it(suspect: Suspect) -> None:
    await suspect.verify(vcpus=2)
    now_ns = (await suspect.owner.chain_time_s() + 10) * NANOS_PER_SECOND
    hour = NANOS_PER_HOUR
    documents = [
        # Two leases of two vCPUs each, at the same time for an hour.
        suspect.sign_receipt(1, 1, now_ns, 0),
        suspect.sign_receipt(1, 2, now_ns + hour, 2 * hour),
        suspect.sign_receipt(2, 1, now_ns, 0),
        suspect.sign_receipt(2, 2, now_ns + hour, 2 * hour),
        # And a lease that did next to nothing all day.
        suspect.sign_receipt(3, 1, now_ns, 0),
        suspect.sign_receipt(3, 2, now_ns + 20 * hour, hour // 10),
    ]
    await suspect.check_slashed(*documents, fault=Fault.OVER_CAPACITY, ppm=300_000)
    assert await suspect.find(*documents[:2], *documents[4:]) == []


async def test_a_wrong_element_of_a_signed_answer_is_slashed(suspect: Suspect) -> None:
    verifiers = await suspect.request(vcpus=1)
    challenge = await verifiers.draw(suspect.provider)
    device = await suspect.bed.rpc.view(
        suspect.bed.manifest.contracts.capacity_registry, DEVICE_OF, challenge.challenge_id, 0
    )
    assert device.n == N
    domain = suspect.bed.manifest.capacity_domain
    answer = CapacityAnswer(challenge.challenge_id, 0, N, device.seed, ZEROS.root)
    signed = SignedAnswer(answer, suspect.node.sign_typed(domain, "CapacityAnswer", answer))
    document = AnswerDocument(domain.chain_id, domain.contract, signed, open_zeros(5))
    assert await suspect.find(replace(document, proof=None)) == []
    await suspect.check_slashed(document, fault=Fault.WRONG_ELEMENT, ppm=500_000)


async def test_a_verdict_that_passed_a_wrong_element_is_slashed(suspect: Suspect) -> None:
    verifiers = await suspect.request(vcpus=1)
    roots = (ZEROS.root,)
    verdicts = await verifiers.judge(suspect.provider, roots=roots)
    domain, found = suspect.bed.manifest.capacity_domain, []
    for signed in verdicts.values():
        row = find_opened_rows(signed.verdict.opening_seed, 0, N)[0]
        document = VerdictDocument(domain.chain_id, domain.contract, signed, roots, 0, open_zeros(row * (N // 256)))
        found += await suspect.find(document)
    assert [(proof.fault, proof.provider) for proof in found] == [(Fault.FALSE_VERDICT, one) for one in verdicts]
    await suspect.prove(found[0])
    record = await read_record(suspect.bed.rpc, suspect.bed.manifest, found[0].provider)
    assert record.faults == 1 and record.slashed > 0


async def test_a_proof_without_a_commitment_old_enough_is_refused(suspect: Suspect) -> None:
    (proof,) = await suspect.find(*(suspect.sign_numbered("Offer", 3, body) for body in (1, 2)))
    with pytest.raises(Reverted, match="NotCommitted"):
        await prove_fault(suspect.reporter, "early", proof, SALT)
    commitment = fault_prover.make_commitment(suspect.reporter.address, proof.fault_id, SALT)
    await commit_fault(suspect.reporter, "commit", commitment)
    with pytest.raises(Reverted, match="CommitmentTooYoung"):
        await prove_fault(suspect.reporter, "too early", proof, SALT)


async def test_documents_of_strangers_and_of_other_deployments_prove_nothing(suspect: Suspect) -> None:
    stranger = Suspect(suspect.bed, suspect.owner, make_wallet(), suspect.reporter)
    unbound = [stranger.sign_receipt(1, 7, 1000, 10, cost=Amount(cost)) for cost in (5, 6)]
    foreign = [replace(suspect.sign_numbered("Offer", 3, body), chain_id=1) for body in (1, 2)]
    same = [suspect.sign_receipt(1, 9, 1000, 10)] * 2
    assert await suspect.find(*unbound, *foreign, *same) == []
    assert await suspect.find() == []


# -------------------------------------------------------------------------------------------------------------- breach


async def test_a_broken_promise_is_refunded_once(suspect: Suspect) -> None:
    bed, submitter = suspect.bed, await suspect.bed.new_wallet(openx=100 * TOKEN)
    asset = bed.manifest.assets[0]
    async with open_wallet(bed, submitter) as payer:
        await deposit(payer, "deposit", asset, Amount(50 * TOKEN))
        escrow = Escrow(submitter.address, submitter.address, suspect.provider, asset.address, ZERO_HASH, 100, 1)
        opening = payment_escrow.OPEN.encode(escrow, 20 * TOKEN)
        await payer.send("open", bed.manifest.contracts.payment_escrow, opening)
        document, last = sign_breach(suspect, submitter, escrow)
        await prove_breach(payer, "breach", document, last)
        record = await read_record(bed.rpc, bed.manifest, suspect.provider)
        assert record.assets[0].refunded == 4 * TOKEN
        assert (await payer.balances(payer.address)).assets[0].free == 34 * TOKEN
        with pytest.raises(Reverted, match="NothingToRefund"):
            await prove_breach(payer, "again", document, last)


def sign_breach(suspect: Suspect, submitter: WalletKey, escrow: Escrow) -> tuple[LeaseDocument, SignedReceipt]:
    """Terms that promise 99 % or 40 % back, and a last receipt over half of the time that cost 10 OPENX."""
    domain = suspect.bed.manifest.domain
    terms = LeaseTerms(
        job_hash=ZERO_HASH,
        quote_hash=ZERO_HASH,
        submitter=submitter.address,
        provider=suspect.provider,
        node=suspect.node.address,
        escrow_id=escrow_id_of(domain.separator(), escrow),
        lease_number=0,
        asset=escrow.asset,
        resources=LIMITS,
        tariff=make_tariff(),
        cost_limit=Amount(20 * TOKEN),
        exposure_limit=Amount(TOKEN),
        interval_ns=NANOS_PER_SECOND,
        duration_limit_ns=NANOS_PER_HOUR,
        open_until_ns=NANOS_PER_HOUR,
        availability_ppm=990_000,
        refund_ppm=400_000,
        exposure_intervals=2,
    )
    document = LeaseDocument(domain.chain_id, domain.contract, escrow, terms, b"", b"")
    ours, theirs = submitter.sign_typed(domain, "LeaseTerms", terms), suspect.sign("LeaseTerms", terms)
    last = suspect.sign_receipt(
        1, 9, 2 * NANOS_PER_HOUR, NANOS_PER_HOUR // 2, lease_id=document.lease_id, cost=Amount(10 * TOKEN), final=True
    )
    return replace(document, submitter_signature=ours, node_signature=theirs), last


# -------------------------------------------------------------------------------------------------------------- answers


ZEROS = make_tree(hash_leaves(0, bytes(4 * N * N)))
"""Of a product that is zero everywhere, which no real one is."""


def open_zeros(index: int) -> ElementProof:
    return ElementProof(index, 17, bytes(1024), ZEROS.make_path(index))
