"""What signed documents prove, and what they do not: fault ids by ethers, elements by BigInt, and near misses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from metering.authors import Authors, BoundKey
from metering.capacity import (
    CapacityAnswer,
    ElementProof,
    SignedAnswer,
    SignedVerdict,
    Verdict,
    answer_digest_of,
    answers_hash_of,
    element_at,
    find_opened_rows,
    verdict_digest_of,
)
from metering.codec import decode_strict, encode
from metering.eip712 import Domain, keccak
from metering.evidence import AnswerDocument, NumberedDocument, VerdictDocument, make_numbered_document
from metering.faults import (
    Contradictable,
    Device,
    Drawn,
    Equivocation,
    Fault,
    Known,
    Proof,
    Witness,
    element_digest_of,
    find_equivocations,
    find_false_verdict,
    find_wrong_element,
    keep_leases,
)
from metering.receipt import Receipt, SignedReceipt, receipt_digest_of
from metering.signature import sign_digest
from metering.terms import lease_id_of
from metering.units import NANOS_PER_SECOND, ZERO_HASH, Address, Amount, Hash32
from metering.usage import NO_USAGE
from tests.make.leases import make_authors, make_lease
from tests.make.values import (
    DOMAIN,
    NOW_NS,
    SEPARATOR,
    address_of,
    make_job,
    make_key,
    make_offer,
    make_signed_quote,
    sign_offer,
)

FOLDER = Path(__file__).parent.parent / "vectors"
FAULTS: list[dict[str, Any]] = json.loads((FOLDER / "eip712.json").read_text())["faults"]
CAPACITY_CASES: list[dict[str, Any]] = json.loads((FOLDER / "capacity.json").read_text())["cases"]

SECOND = NANOS_PER_SECOND
REGISTRY = Domain(31337, Address(b"\xdd" * 20))
NODE, ROTATED, STRANGER = 1, 2, 3
PROVIDER = address_of(1001)
OWNERS = {address_of(NODE): PROVIDER, address_of(ROTATED): PROVIDER, address_of(STRANGER): address_of(1003)}
AUTHORS = make_authors(OWNERS)
LEASES = {b"lease": make_lease(), b"other": make_lease(lease_number=1)}
CHALLENGE = keccak(b"challenge")
KNOWN = Known(
    AUTHORS,
    keep_leases(LEASES.values(), SEPARATOR, AUTHORS),
    {
        one: Drawn(NOW_NS // SECOND, NOW_NS // SECOND + 600, frozenset(OWNERS.values()))
        for one in (CHALLENGE, keccak(b"other"))
    },
)


def hash_of(text: str) -> Hash32:
    return Hash32(bytes.fromhex(text[2:]))


def make_receipt(lease: bytes = b"lease", number: int = 7, key: int = NODE, **changes: Any) -> SignedReceipt:
    """A receipt of one of the leases, or of one that never was, signed by this key."""
    lease_id = LEASES[lease].lease_id if lease in LEASES else keccak(lease)
    receipt = replace(Receipt(lease_id, number, NOW_NS, SECOND, NO_USAGE, Amount(5), False), **changes)
    return SignedReceipt(receipt, sign_digest(make_key(key), receipt_digest_of(SEPARATOR, receipt)))


def make_offer_document(number: int = 42, **body: Any) -> NumberedDocument:
    signed = sign_offer(make_offer(NODE, number, **body), NODE)
    return make_numbered_document(DOMAIN, "Offer", signed.offer, signed.signature)


def make_quote_document(number: int = 42, **body: Any) -> NumberedDocument:
    signed = make_signed_quote(make_job(), NODE, number, **body)
    return make_numbered_document(DOMAIN, "Quote", signed.quote, signed.signature)


def make_verdict_document(key: int = NODE, **changes: Any) -> VerdictDocument:
    verdict = replace(Verdict(CHALLENGE, keccak(b"answers"), True, keccak(b"entropy")), **changes)
    signature = sign_digest(make_key(key), verdict_digest_of(REGISTRY.separator(), verdict))
    return VerdictDocument(REGISTRY.chain_id, REGISTRY.contract, SignedVerdict(verdict, signature))


# --------------------------------------------------------------------------------------------------------- evidence ids


@pytest.mark.parametrize("case", FAULTS, ids=[case["what"] for case in FAULTS])
def test_evidence_ids_are_those_of_ethers(case: dict[str, Any]) -> None:
    provider = Address(bytes.fromhex(case["provider"][2:]))
    words = {"first": hash_of(case["first"]), "second": hash_of(case["second"])}
    proof = Proof(fault=Fault(case["fault"]), provider=provider, dated_s=0, **words)
    assert proof.evidence_id == hash_of(case["evidenceId"])
    if "element" in case["evidence"]:
        element = case["evidence"]["element"]
        values = bytes.fromhex(element["values"][2:])
        shown = ElementProof(int(element["index"]), int(element["column"]), values, ())
        assert element_digest_of(shown) == proof.second


# --------------------------------------------------------------------------------------------------------- equivocation

CONTRADICTIONS: dict[str, tuple[Contradictable, ...]] = {
    "receipts": (make_receipt(), make_receipt(cost=Amount(6))),
    "receipts of two keys of one provider": (make_receipt(), make_receipt(key=ROTATED, cost=Amount(6))),
    "receipts of which one is final": (make_receipt(), make_receipt(final=True)),
    "offers": (make_offer_document(), make_offer_document(region="us-east")),
    "offers that expire at other times": (make_offer_document(), make_offer_document(expires_at_ns=NOW_NS + 1)),
    "quotes": (make_quote_document(), make_quote_document(thaw=1)),
    "verdicts": (make_verdict_document(), make_verdict_document(passed=False)),
    "verdicts by other entropy": (make_verdict_document(), make_verdict_document(opening_seed=keccak(b"other"))),
}

AGREEMENTS: dict[str, tuple[Contradictable, ...]] = {
    "receipts of a lease that never was": (make_receipt(b"none"), make_receipt(b"none", cost=Amount(6))),
    "receipts of another provider's lease": (make_receipt(key=STRANGER), make_receipt(key=STRANGER, cost=Amount(6))),
    "verdicts on a challenge that never was": (
        make_verdict_document(challenge_id=ZERO_HASH),
        make_verdict_document(challenge_id=ZERO_HASH, passed=False),
    ),
    "the same receipt twice": (make_receipt(), make_receipt()),
    "receipts of two numbers": (make_receipt(), make_receipt(number=8, cost=Amount(6))),
    "receipts of two leases": (make_receipt(), make_receipt(b"other", cost=Amount(6))),
    "receipts of two providers": (make_receipt(), make_receipt(key=STRANGER, cost=Amount(6))),
    "receipts of an unknown node": (make_receipt(key=9), make_receipt(key=9, cost=Amount(6))),
    "an offer and a quote": (make_offer_document(), make_quote_document()),
    "offers of two numbers": (make_offer_document(), make_offer_document(43, region="us-east")),
    "offers in two domains": (make_offer_document(), replace(make_offer_document(region="us-east"), chain_id=1)),
    "verdicts of two challenges": (make_verdict_document(), make_verdict_document(challenge_id=keccak(b"other"))),
    "verdicts of two verifiers": (make_verdict_document(), make_verdict_document(STRANGER, passed=False)),
    "a signature of another form": (
        make_receipt(),
        replace(make_receipt(cost=Amount(6)), signature=make_receipt(cost=Amount(6)).signature[:64]),
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_two_different_documents_under_one_number_are_a_proof(name: str) -> None:
    first, second = CONTRADICTIONS[name]
    (proof,) = find_equivocations((first, second, first), SEPARATOR, KNOWN)
    assert (proof.fault, proof.provider, proof.a, proof.b) == (Fault.EQUIVOCATION, PROVIDER, first, second)
    assert (proof.lease is not None) == isinstance(first, SignedReceipt)
    (mirrored,) = find_equivocations((second, first), SEPARATOR, KNOWN)
    assert mirrored.evidence_id == proof.evidence_id, "in whatever order the documents are shown"


@pytest.mark.parametrize("name", AGREEMENTS)
def test_what_contradicts_nothing_proves_nothing(name: str) -> None:
    assert find_equivocations(AGREEMENTS[name], SEPARATOR, KNOWN) == ()


def test_documents_that_name_the_node_of_another_provider_prove_nothing() -> None:
    def sign_for_another(region: str) -> NumberedDocument:
        offer = replace(make_offer(NODE, region=region), node=address_of(STRANGER))
        signed = sign_offer(offer, NODE)
        return make_numbered_document(DOMAIN, "Offer", signed.offer, signed.signature)

    witness = Witness(SEPARATOR, OWNERS)
    assert witness.add(sign_for_another("eu")) is None
    assert witness.add(sign_for_another("us")) is None


def test_a_key_answers_from_when_it_was_bound_until_a_thaw_after_it_was_replaced() -> None:
    bound, taken, thaw = NOW_NS // SECOND, NOW_NS // SECOND + 100, 1000
    keys = {address_of(NODE): BoundKey(PROVIDER, bound, taken), address_of(ROTATED): BoundKey(PROVIDER, taken)}

    def proves(at_s: int, now_s: int, key: int = NODE) -> bool:
        known = replace_authors(Authors(keys, now_s, thaw))
        both = [make_receipt(key=key, at_ns=at_s * SECOND, cost=Amount(cost)) for cost in (5, 6)]
        return bool(find_equivocations(both, SEPARATOR, known))

    assert proves(bound, taken) and proves(taken, taken + thaw)
    assert not proves(bound - 1, taken), "it was not bound yet"
    assert not proves(taken + 1, taken + 1), "it was replaced"
    assert not proves(bound, taken + thaw + 1), "the thaw is over"
    assert proves(taken + 1, taken + 1, ROTATED) and not proves(taken - 1, taken, ROTATED)
    assert proves(taken + 3600, taken, ROTATED) and not proves(taken + 3601, taken, ROTATED), "documents of the future"


def replace_authors(authors: Authors) -> Known:
    return Known(authors, keep_leases(LEASES.values(), SEPARATOR, authors), KNOWN.challenges)


def test_offers_count_under_the_key_that_is_bound_when_they_expire() -> None:
    both = [make_offer_document(), make_offer_document(region="us-east")]
    expires_s = both[0].expires_at_ns // SECOND

    def find(until_s: int, now_s: int) -> tuple[Equivocation, ...]:
        authors = Authors({address_of(NODE): BoundKey(PROVIDER, 0, until_s)}, now_s, 10**6)
        return find_equivocations(both, SEPARATOR, Known(authors))

    assert find(expires_s, expires_s + 1) and find(0, expires_s - 10)
    assert not find(expires_s - 1, expires_s + 1), "replaced before"
    (proof,) = find(0, expires_s - 10)
    assert proof.dated_s == expires_s - 10, "what has not expired yet was signed by now"


def test_a_verdict_counts_under_any_key_that_served_from_draw_to_deadline() -> None:
    drawn = NOW_NS // SECOND
    both = [make_verdict_document(), make_verdict_document(passed=False)]

    def proves(since_s: int, until_s: int) -> bool:
        authors = Authors({address_of(NODE): BoundKey(PROVIDER, since_s, until_s)}, drawn + 1000, 10**6)
        return bool(find_equivocations(both, SEPARATOR, replace_authors(authors)))

    assert proves(0, 0) and proves(0, drawn) and proves(drawn + 600, 0) and proves(drawn + 10, drawn + 20)
    assert not proves(0, drawn - 1) and not proves(drawn + 601, 0)


def test_terms_count_with_both_signatures_and_under_a_key_that_was_ever_the_providers() -> None:
    good = make_lease()
    for lease in (
        replace(good, node_signature=b""),
        replace(good, submitter_signature=good.node_signature),
        make_lease(node=STRANGER),
        make_lease(provider=address_of(1003)),
    ):
        assert not keep_leases((lease,), SEPARATOR, AUTHORS)
    replaced = Authors({address_of(NODE): BoundKey(PROVIDER, 1, 2)}, 10**10, 0)
    assert set(keep_leases((good,), SEPARATOR, replaced)) == {lease_id_of(SEPARATOR, good.terms)}


# ------------------------------------------------------------------------------------------------------ capacity answers


@pytest.mark.parametrize("case", CAPACITY_CASES, ids=[f"n={case['n']}" for case in CAPACITY_CASES])
def test_elements_proofs_and_opened_rows_are_those_of_the_vectors(case: dict[str, Any]) -> None:
    n, seed = case["n"], hash_of(case["seed"])
    for each in case["elements"]:
        assert element_at(seed, n, each["row"], each["column"]) == each["element"]
    for told in case["elementProofs"]:
        proof = read_element_proof(told)
        assert proof.find_root() == hash_of(case["root"]) and proof.element == told["element"]
        assert proof.find_place(n)[0] == told["row"]
    rows = find_opened_rows(hash_of(case["openingSeed"]), case["device"], n)
    assert list(rows) == case["openedRows"]


def read_element_proof(told: dict[str, Any]) -> ElementProof:
    path = tuple(hash_of(text) for text in told["path"])
    return ElementProof(told["index"], told["column"], bytes.fromhex(told["values"][2:]), path)


CASE = CAPACITY_CASES[0]
WRONG, N = read_element_proof(CASE["wrongElement"]), CASE["n"]
DEVICE = Device(PROVIDER, hash_of(CASE["seed"]), N)


def make_answer_document(
    proof: ElementProof | None = WRONG, root: Hash32 | None = None, key: int = NODE
) -> AnswerDocument:
    answer = CapacityAnswer(CHALLENGE, 0, N, DEVICE.seed, root or WRONG.find_root())
    signature = sign_digest(make_key(key), answer_digest_of(REGISTRY.separator(), answer))
    return AnswerDocument(REGISTRY.chain_id, REGISTRY.contract, SignedAnswer(answer, signature), proof)


def test_a_wrong_element_under_a_signed_root_is_a_proof() -> None:
    document = make_answer_document()
    proof = find_wrong_element(document, DEVICE, KNOWN)
    assert proof is not None and (proof.fault, proof.provider) == (Fault.WRONG_ELEMENT, PROVIDER)
    assert proof.first == answer_digest_of(REGISTRY.separator(), document.signed.answer)
    assert proof.second == element_digest_of(WRONG) and proof.dated_s == NOW_NS // SECOND


def test_a_right_element_or_one_of_another_answer_proves_nothing() -> None:
    right = read_element_proof(CASE["elementProofs"][0])
    root = hash_of(CASE["root"])
    assert find_wrong_element(make_answer_document(right, root), DEVICE, KNOWN) is None
    beside = replace(WRONG, column=(WRONG.column + 1) % 256)
    assert find_wrong_element(make_answer_document(beside), DEVICE, KNOWN) is None, "only the one element is wrong"
    assert find_wrong_element(make_answer_document(root=root), DEVICE, KNOWN) is None
    assert find_wrong_element(make_answer_document(None), DEVICE, KNOWN) is None
    assert find_wrong_element(make_answer_document(key=STRANGER), DEVICE, KNOWN) is None, "not who was challenged"
    other = Device(PROVIDER, keccak(b"another seed"), N)
    assert find_wrong_element(make_answer_document(), other, KNOWN) is None


def test_a_leaf_outside_of_the_tree_or_a_path_of_another_length_proves_nothing() -> None:
    for proof in (replace(WRONG, index=WRONG.index + 256 * N), replace(WRONG, path=WRONG.path[:-1])):
        assert find_wrong_element(make_answer_document(proof, proof.find_root()), DEVICE, KNOWN) is None


def make_passing_document(row_is_opened: bool = True, key: int = NODE, **changes: Any) -> VerdictDocument:
    """A verdict that passed the wrong answer; its entropy opened the wrong row, or not."""
    row = WRONG.find_place(N)[0]
    entropy = (keccak(number.to_bytes(4, "big")) for number in range(10_000))
    seed = next(one for one in entropy if (row in find_opened_rows(one, 1, N)) == row_is_opened)
    roots = (keccak(b"a right answer"), WRONG.find_root())
    told = {"opening_seed": seed, "answers_hash": answers_hash_of(roots)} | changes
    return replace(make_verdict_document(key, **told), roots=roots, device=1, proof=WRONG)


def test_a_verdict_that_passed_a_wrong_row_it_opened_is_a_proof() -> None:
    proof = find_false_verdict(make_passing_document(), DEVICE, KNOWN)
    assert proof is not None and (proof.fault, proof.provider) == (Fault.FALSE_VERDICT, PROVIDER)
    signed = make_passing_document().signed.verdict
    assert proof.first == verdict_digest_of(REGISTRY.separator(), signed)


def test_a_verdict_that_did_not_see_or_did_not_pass_proves_nothing() -> None:
    whole = make_passing_document()
    for document in (
        make_passing_document(row_is_opened=False),
        make_passing_document(passed=False),
        make_passing_document(answers_hash=keccak(b"other answers")),
        make_passing_document(key=9),
        replace(whole, proof=None),
        replace(whole, device=0),
        replace(whole, device=2),
        replace(whole, roots=whole.roots[::-1]),
    ):
        assert find_false_verdict(document, DEVICE, KNOWN) is None


@pytest.mark.parametrize(
    "document", [make_offer_document(), make_quote_document(), make_answer_document(), make_passing_document()]
)
def test_documents_come_back_from_their_bytes(document: Any) -> None:
    assert decode_strict(encode(document), type(document)) == document
