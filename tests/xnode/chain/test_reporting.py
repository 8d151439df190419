"""What documents prove, proved: each kind of fault against a provider with stake, through the committed contracts."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from metering.capacity import (
    CapacityAnswer,
    ElementProof,
    SignedAnswer,
    SignedVerdict,
    find_opened_rows,
)
from metering.evidence import AnswerDocument, VerdictDocument
from metering.faults import Fault
from metering.over_capacity import MAX_PAIRS, OverCapacity
from metering.sla import find_silence
from metering.units import NANOS_PER_HOUR, NANOS_PER_SECOND, Amount, Hash32
from tests.make.verifiers import make_verifiers
from tests.xnode.chain.devchain import TOKEN, make_wallet
from tests.xnode.chain.suspect import SALT, STAKE, Broken, Suspect, pass_time
from xnode.capacity.tree import hash_leaves, make_tree
from xnode.chain.contracts import breach_prover
from xnode.chain.contracts.capacity_registry import DEVICE_OF
from xnode.chain.fault_search import SignedDocument, choose_proofs
from xnode.chain.intents.faults import (
    answer_silence,
    claim_silence,
    collect_shortfall,
    commit_fault,
    prove_breach,
    prove_fault,
    settle_silence,
)
from xnode.chain.node.json_rpc import Reverted
from xnode.chain.provider_record import read_record

pytestmark = pytest.mark.chain

N = 1024


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
