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
    find_opened_rows,
)
from metering.eip712 import keccak
from metering.evidence import AnswerDocument, LeaseDocument, NumberedDocument, VerdictDocument
from metering.faults import Fault, Proof
from metering.over_capacity import MAX_PAIRS, OverCapacity
from metering.receipt import Receipt, SignedReceipt
from metering.resources import Resources
from metering.sla import find_silence
from metering.terms import Escrow, escrow_id_of
from metering.units import NANOS_PER_HOUR, NANOS_PER_SECOND, ZERO_HASH, Address, Amount, Hash32, mul_div_down
from metering.usage import Counters, usage_of
from metering.voucher import Voucher
from tests.make.values import make_escrow, make_terms
from tests.make.verifiers import Verifiers, make_verifiers
from tests.xnode.chain.devchain import PACE, TOKEN, Bed, make_wallet
from xnode.capacity.tree import hash_leaves, make_tree
from xnode.chain.contracts import breach_prover, payment_escrow
from xnode.chain.contracts.capacity_registry import DEVICE_OF
from xnode.chain.contracts.provider_registry import Role
from xnode.chain.fault_search import SignedDocument, choose_proofs, find_proofs, read_proven
from xnode.chain.intents.faults import (
    answer_silence,
    claim_silence,
    collect_shortfall,
    commit_fault,
    prove_breach,
    prove_fault,
    settle_silence,
)
from xnode.chain.intents.payments import deposit
from xnode.chain.intents.registration import register_provider
from xnode.chain.intents.session import WalletSession, open_session
from xnode.chain.intents.stake import add_stake
from xnode.chain.intents.verification import request_challenge
from xnode.chain.node.json_rpc import Reverted
from xnode.chain.provider_record import read_record, read_stake
from xnode.chain.send.tx_journal import make_engine
from xnode.ports.chain import ClaimRow
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
    submitter: WalletKey
    begun_ns: int

    @property
    def provider(self) -> Address:
        return self.owner.address

    def sign(self, name: str, value: Any) -> bytes:
        return self.node.sign_typed(self.bed.manifest.domain, name, value)

    def sign_receipt(self, lease: int, number: int, at_ns: int, vcpu_ns: int, **changes: Any) -> SignedReceipt:
        usage = usage_of(Counters(running_ns=0, vcpu_ns=vcpu_ns), LIMITS)
        receipt = Receipt(self.lease_of(lease).lease_id, number, at_ns, 0, usage, Amount(5), False)
        receipt = replace(receipt, **changes)
        return SignedReceipt(receipt, self.sign("Receipt", receipt))

    def lease_of(self, number: int) -> LeaseDocument:
        """A lease of 4 vCPUs that began when the test says, signed by both sides."""
        domain = self.bed.manifest.domain
        terms = make_terms(
            submitter=self.submitter.address, provider=self.provider, node=self.node.address, lease_number=number,
            resources=LIMITS, open_until_ns=self.begun_ns,
        )  # fmt: skip
        document = LeaseDocument(domain.chain_id, domain.contract, make_escrow(), terms, b"", b"")
        ours = self.submitter.sign_typed(domain, "LeaseTerms", terms)
        return replace(document, submitter_signature=ours, node_signature=self.sign("LeaseTerms", terms))

    def sign_numbered(self, kind: str, number: int, body: int) -> NumberedDocument:
        domain = self.bed.manifest.domain
        head = (
            domain.chain_id,
            domain.contract,
            kind,
            self.provider,
            self.node.address,
            number,
            2**62,
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
        await request_challenge(self.owner, "request", ((0, vcpus),), Amount(2 * TOKEN))
        return verifiers

    async def find(self, *documents: SignedDocument) -> list[Proof]:
        return await find_proofs(self.bed.rpc, self.bed.manifest, documents)

    async def prove(self, proof: Proof) -> None:
        """What `xnode fault report` does."""
        await commit_fault(self.reporter, f"commit {proof.evidence_id.hex()}", proof, SALT)
        await pass_time(self.bed, 600)
        await prove_fault(self.reporter, f"prove {proof.evidence_id.hex()}", proof, SALT)

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
            begun_ns = await owner.chain_time_s() * NANOS_PER_SECOND
            yield Suspect(bed, owner, node, watching, make_wallet(), begun_ns)


async def test_two_receipts_of_one_number_are_slashed(suspect: Suspect) -> None:
    at_ns = suspect.begun_ns
    ones = [suspect.sign_receipt(1, 7, at_ns, 10, cost=Amount(cost)) for cost in (5, 6)]
    assert await suspect.find(*ones) == [], "of a lease that is not shown"
    shown: list[SignedDocument] = [*ones, suspect.sign_receipt(1, 8, at_ns, 10), suspect.lease_of(1)]
    await suspect.check_slashed(*shown, fault=Fault.EQUIVOCATION, ppm=200_000)


async def test_many_numbers_signed_twice_are_reported_once(suspect: Suspect) -> None:
    at_ns = suspect.begun_ns
    receipts = [
        suspect.sign_receipt(1, number, at_ns + number, 10, cost=Amount(cost)) for number in range(5) for cost in (5, 6)
    ]
    proofs = await suspect.find(*receipts, suspect.lease_of(1))
    assert len(proofs) == 5
    (latest,) = choose_proofs(proofs)
    await suspect.prove(latest)
    for proof in proofs[1:3]:
        if proof != latest:
            with pytest.raises(Reverted, match="NothingToTake"):
                await suspect.prove(proof)
    assert (await read_record(suspect.bed.rpc, suspect.bed.manifest, suspect.provider)).stake == STAKE * 8 // 10


@pytest.mark.parametrize("kind", ["Offer", "Quote"])
async def test_two_offers_or_quotes_of_one_number_are_slashed(suspect: Suspect, kind: str) -> None:
    documents = [suspect.sign_numbered(kind, 3, body) for body in (1, 2)]
    await suspect.check_slashed(*documents, fault=Fault.EQUIVOCATION, ppm=200_000)


async def test_two_verdicts_on_one_challenge_cost_of_a_verifiers_pledge(suspect: Suspect) -> None:
    verifiers = await suspect.request(vcpus=1)
    (address, signed), *_ = (await verifiers.judge(suspect.provider, roots=(ZEROS.root,))).items()
    domain = suspect.bed.manifest.capacity_domain
    key = next(one.node for one in make_verifiers() if one.wallet.address == address)
    other = replace(signed.verdict, passed=False)
    both = (signed, SignedVerdict(other, key.sign_typed(domain, "Verdict", other)))
    (proof,) = await suspect.find(*(VerdictDocument(domain.chain_id, domain.contract, one) for one in both))
    assert (proof.fault, proof.provider) == (Fault.EQUIVOCATION, address)
    before = await read_record(suspect.bed.rpc, suspect.bed.manifest, address)
    await suspect.prove(proof)
    record = await read_record(suspect.bed.rpc, suspect.bed.manifest, address)
    assert record.slashed > before.slashed
    never = [replace(one, challenge_id=Hash32(b"\x09" * 32)) for one in (signed.verdict, other)]
    documents = [SignedVerdict(one, key.sign_typed(domain, "Verdict", one)) for one in never]
    assert await suspect.find(*(VerdictDocument(domain.chain_id, domain.contract, one) for one in documents)) == []


async def test_more_than_the_verified_capacity_is_slashed_also_when_idle_hours_hide_it(suspect: Suspect) -> None:
    await suspect.verify(vcpus=2)
    now_ns = suspect.begun_ns = (await suspect.owner.chain_time_s() + 10) * NANOS_PER_SECOND
    await pass_time(suspect.bed, 20 * 3600)
    hour = NANOS_PER_HOUR
    documents: list[SignedDocument] = [
        # Two leases of two vCPUs each, at the same time for an hour.
        suspect.sign_receipt(1, 1, now_ns, 0),
        suspect.sign_receipt(1, 2, now_ns + hour, 2 * hour),
        suspect.sign_receipt(2, 1, now_ns, 0),
        suspect.sign_receipt(2, 2, now_ns + hour, 2 * hour),
        # And a lease that did next to nothing all day.
        suspect.sign_receipt(3, 1, now_ns, 0),
        suspect.sign_receipt(3, 2, now_ns + 20 * hour, hour // 10),
        *(suspect.lease_of(number) for number in (1, 2, 3)),
    ]
    await suspect.check_slashed(*documents, fault=Fault.OVER_CAPACITY, ppm=300_000)
    assert await suspect.find(*documents[:2], *documents[4:]) == []


async def test_leases_rented_singly_are_proved_in_several_transactions(suspect: Suspect) -> None:
    await suspect.verify(vcpus=2)
    now_ns = suspect.begun_ns = (await suspect.owner.chain_time_s() + 10) * NANOS_PER_SECOND
    await pass_time(suspect.bed, 3 * 3600)
    hour, leases = NANOS_PER_HOUR, range(MAX_PAIRS + 3)
    documents: list[SignedDocument] = [suspect.lease_of(number) for number in leases]
    for number in leases:
        documents += [
            suspect.sign_receipt(number, 1, now_ns, 0),
            suspect.sign_receipt(number, 2, now_ns + hour, hour // 10),
        ]
    (proof,) = await suspect.find(*documents)
    assert isinstance(proof, OverCapacity) and len(proof.pairs) == len(leases)
    await suspect.prove(proof)
    record = await read_record(suspect.bed.rpc, suspect.bed.manifest, suspect.provider)
    assert record.stake == STAKE * 7 // 10


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
    # Of verifiers that other tests have proved wrong too.
    before = await read_record(suspect.bed.rpc, suspect.bed.manifest, found[0].provider)
    await suspect.prove(found[0])
    record = await read_record(suspect.bed.rpc, suspect.bed.manifest, found[0].provider)
    assert record.faults == before.faults + 1 and record.slashed > before.slashed


async def test_a_proof_without_a_commitment_old_enough_is_refused(suspect: Suspect) -> None:
    (proof,) = await suspect.find(*(suspect.sign_numbered("Offer", 3, body) for body in (1, 2)))
    with pytest.raises(Reverted, match="NotCommitted"):
        await prove_fault(suspect.reporter, "early", proof, SALT)
    await commit_fault(suspect.reporter, "commit", proof, SALT)
    with pytest.raises(Reverted, match="CommitmentTooYoung"):
        await prove_fault(suspect.reporter, "too early", proof, SALT)


async def test_documents_of_strangers_and_of_other_deployments_prove_nothing(suspect: Suspect) -> None:
    at_ns = suspect.begun_ns
    stranger = Suspect(suspect.bed, suspect.owner, make_wallet(), suspect.reporter, suspect.submitter, at_ns)
    unbound: list[SignedDocument] = [
        stranger.lease_of(1),
        *(stranger.sign_receipt(1, 7, at_ns, 10, cost=Amount(cost)) for cost in (5, 6)),
    ]
    foreign = [replace(suspect.sign_numbered("Offer", 3, body), chain_id=1) for body in (1, 2)]
    same: list[SignedDocument] = [suspect.lease_of(1), *[suspect.sign_receipt(1, 9, at_ns, 10)] * 2]
    assert await suspect.find(*unbound, *foreign, *same) == []
    assert await suspect.find() == []


# -------------------------------------------------------------------------------------------------------------- breach


@dataclass
class Broken:
    """A lease of ten hours that promises 99 % or 40 % back, of which five ran, for 10 OPENX."""

    suspect: Suspect
    payer: WalletSession
    escrow: Escrow
    document: LeaseDocument

    def sign(self, number: int, at_hours: float, **changes: Any) -> SignedReceipt:
        suspect = self.suspect
        receipt = suspect.sign_receipt(1, number, suspect.begun_ns + round(at_hours * NANOS_PER_HOUR), 0).receipt
        told = {"lease_id": self.document.lease_id, "running_ns": 5 * NANOS_PER_HOUR, "cost": Amount(10 * TOKEN)}
        receipt = replace(receipt, **told | changes)
        return SignedReceipt(receipt, suspect.sign("Receipt", receipt))

    async def free(self) -> int:
        return (await self.payer.balances(self.payer.address)).assets[0].free

    async def claim(self, amount: int) -> None:
        """The provider is paid so much by voucher."""
        domain = self.suspect.bed.manifest.domain
        escrow_id = escrow_id_of(domain.separator(), self.escrow)
        voucher = Voucher(escrow_id, Amount(amount), ZERO_HASH)
        signature = self.suspect.submitter.sign_typed(domain, "Voucher", voucher)
        (data,) = payment_escrow.make_claims([ClaimRow(self.escrow, voucher, signature)])
        await self.payer.send("claim", domain.contract, data)


@pytest.fixture
async def broken(suspect: Suspect) -> AsyncIterator[Broken]:
    bed, submitter = suspect.bed, await suspect.bed.new_wallet(openx=100 * TOKEN)
    suspect.submitter, asset, domain = submitter, bed.manifest.assets[0], bed.manifest.domain
    async with open_wallet(bed, submitter) as payer:
        await deposit(payer, "deposit", asset, Amount(50 * TOKEN))
        escrow = Escrow(submitter.address, submitter.address, suspect.provider, asset.address, ZERO_HASH, 100, 1)
        await payer.send("open", domain.contract, payment_escrow.OPEN.encode(escrow, 20 * TOKEN))
        terms = replace(
            suspect.lease_of(1).terms, escrow_id=escrow_id_of(domain.separator(), escrow), asset=asset.address,
            availability_ppm=990_000, refund_ppm=400_000, duration_limit_ns=20 * NANOS_PER_HOUR,
        )  # fmt: skip
        unsigned = LeaseDocument(domain.chain_id, domain.contract, escrow, terms, b"", b"")
        ours, theirs = submitter.sign_typed(domain, "LeaseTerms", terms), suspect.sign("LeaseTerms", terms)
        await pass_time(bed, 10 * 3600)
        yield Broken(suspect, payer, escrow, replace(unsigned, submitter_signature=ours, node_signature=theirs))


async def test_a_broken_promise_is_refunded_once(broken: Broken) -> None:
    last = broken.sign(9, 10, final=True)
    await prove_breach(broken.payer, "breach", broken.document, last)
    record = await read_record(broken.suspect.bed.rpc, broken.suspect.bed.manifest, broken.suspect.provider)
    assert record.assets[0].refunded == 4 * TOKEN
    assert await broken.free() == 34 * TOKEN
    with pytest.raises(Reverted, match="NothingToRefund"):
        await prove_breach(broken.payer, "again", broken.document, last)


async def test_a_provider_that_goes_silent_gives_back_what_it_promised_unless_it_answers(broken: Broken) -> None:
    bed, judge = broken.suspect.bed, broken.suspect.bed.manifest.contracts.breach_prover
    known, lease_id = broken.sign(8, 5), broken.document.lease_id
    assert find_silence(broken.document.terms, known.receipt, await broken.payer.chain_time_s() * NANOS_PER_SECOND)
    await claim_silence(broken.payer, "claim", broken.document, known)
    silence = await bed.rpc.view(judge, breach_prover.SILENCE_OF, lease_id)
    assert (silence.number, silence.due) == (8, 4 * TOKEN)
    await answer_silence(broken.suspect.reporter, "answer", broken.sign(9, 10))
    assert (await bed.rpc.view(judge, breach_prover.SILENCE_OF, lease_id)).due == 0
    await pass_time(bed, 2 * 3600)
    await claim_silence(broken.payer, "claim again", broken.document, broken.sign(9, 10))
    await pass_time(bed, 86_401)
    await settle_silence(broken.payer, "settle", broken.escrow, lease_id)
    assert await broken.free() == 34 * TOKEN


async def test_what_was_claimed_before_comes_out_of_stake(broken: Broken) -> None:
    bed, lease_id = broken.suspect.bed, broken.document.lease_id
    await broken.claim(20 * TOKEN)
    before = await bed.openx_of(broken.payer.address)
    await prove_breach(broken.payer, "breach", broken.document, broken.sign(9, 10, final=True))
    short = await bed.rpc.view(bed.manifest.contracts.breach_prover, breach_prover.SHORTFALL_OF, lease_id)
    assert (short.amount, short.payer) == (4 * TOKEN, broken.payer.address)
    await pass_time(bed, 2 * 86_400)
    await collect_shortfall(broken.payer, "collect", lease_id)
    assert await bed.openx_of(broken.payer.address) - before == 4 * TOKEN
    record = await read_record(bed.rpc, bed.manifest, broken.suspect.provider)
    assert (record.stake, record.faults) == (STAKE - 4 * TOKEN, 0)


# -------------------------------------------------------------------------------------------------------------- answers


ZEROS = make_tree(hash_leaves(0, bytes(4 * N * N)))
"""Of a product that is zero everywhere, which no real one is."""


def open_zeros(index: int) -> ElementProof:
    return ElementProof(index, 17, bytes(1024), ZEROS.make_path(index))
