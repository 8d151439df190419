"""What signed documents prove, and what they do not: fault ids by ethers, elements by BigInt, and near misses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

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
    TOLERANCE_NS,
    Contradictable,
    Device,
    Fault,
    Proof,
    ReceiptPair,
    Verified,
    Witness,
    find_equivocations,
    find_false_verdict,
    find_over_capacity,
    find_wrong_element,
    make_pairs,
    subject_of,
)
from metering.receipt import Receipt, SignedReceipt, receipt_digest_of
from metering.signature import sign_digest
from metering.units import NANOS_PER_SECOND, U128, Address, Amount, Hash32
from metering.usage import NO_USAGE
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


def hash_of(text: str) -> Hash32:
    return Hash32(bytes.fromhex(text[2:]))


def make_receipt(lease: bytes = b"lease", number: int = 7, key: int = NODE, **changes: Any) -> SignedReceipt:
    """A receipt signed by this key; gpu_ns and vcpu_ns are its usage's."""
    usage = {name: U128(changes.pop(name)) for name in ("gpu_ns", "vcpu_ns") if name in changes}
    receipt = Receipt(keccak(lease), number, NOW_NS, SECOND, replace(NO_USAGE, **usage), Amount(5), False)
    receipt = replace(receipt, **changes)
    return SignedReceipt(receipt, sign_digest(make_key(key), receipt_digest_of(SEPARATOR, receipt)))


def make_offer_document(number: int = 42, **body: Any) -> NumberedDocument:
    signed = sign_offer(make_offer(NODE, number, **body), NODE)
    return make_numbered_document(DOMAIN, "Offer", signed.offer, signed.signature)


def make_quote_document(number: int = 42, **body: Any) -> NumberedDocument:
    signed = make_signed_quote(make_job(), NODE, number, **body)
    return make_numbered_document(DOMAIN, "Quote", signed.quote, signed.signature)


def make_verdict_document(key: int = NODE, **changes: Any) -> VerdictDocument:
    verdict = replace(Verdict(keccak(b"challenge"), keccak(b"answers"), True, keccak(b"entropy")), **changes)
    signature = sign_digest(make_key(key), verdict_digest_of(REGISTRY.separator(), verdict))
    return VerdictDocument(REGISTRY.chain_id, REGISTRY.contract, SignedVerdict(verdict, signature))


# ------------------------------------------------------------------------------------------------------------ fault ids


def make_document(what: str, evidence: dict[str, Any]) -> Contradictable:
    number, node = int(evidence.get("number", 0)), Address(bytes.fromhex(evidence.get("node", "0x")[2:]))
    if what == "receipt":
        return make_receipt(number=number, lease_id=hash_of(evidence["leaseId"]))
    if what in ("offer", "quote"):
        return replace(make_offer_document(), kind=what.capitalize(), number=number, node=node)
    return make_verdict_document(challenge_id=hash_of(evidence["challengeId"]))


@pytest.mark.parametrize("case", FAULTS, ids=[case["what"] for case in FAULTS])
def test_fault_ids_are_those_of_ethers(case: dict[str, Any]) -> None:
    what, evidence = case["what"], case["evidence"]
    proof = Proof(Fault(case["fault"]), Address(bytes.fromhex(case["provider"][2:])), hash_of(case["subject"]))
    assert proof.fault_id == hash_of(case["faultId"])
    if what not in ("overCapacity", "wrongElement"):
        assert subject_of(make_document(what, evidence)) == proof.subject


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
    (proof,) = find_equivocations((first, second, first), SEPARATOR, OWNERS)
    assert (proof.fault, proof.provider, proof.a, proof.b) == (Fault.EQUIVOCATION, PROVIDER, first, second)
    (mirrored,) = find_equivocations((second, first), SEPARATOR, OWNERS)
    assert mirrored.fault_id == proof.fault_id, "each fault counts once, whatever the evidence"


@pytest.mark.parametrize("name", AGREEMENTS)
def test_what_contradicts_nothing_proves_nothing(name: str) -> None:
    assert find_equivocations(AGREEMENTS[name], SEPARATOR, OWNERS) == ()


def test_documents_that_name_the_node_of_another_provider_prove_nothing() -> None:
    def sign_for_another(region: str) -> NumberedDocument:
        offer = replace(make_offer(NODE, region=region), node=address_of(STRANGER))
        signed = sign_offer(offer, NODE)
        return make_numbered_document(DOMAIN, "Offer", signed.offer, signed.signature)

    witness = Witness(SEPARATOR, OWNERS)
    assert witness.add(sign_for_another("eu")) is None
    assert witness.add(sign_for_another("us")) is None


# -------------------------------------------------------------------------------------------------------- over capacity

VERIFIED = Verified(gpus=2, vcpus=8, from_s=NOW_NS // SECOND - 100, until_s=NOW_NS // SECOND + 10_000)
HOUR = 3600 * SECOND


def make_pair(lease: bytes, gpu_ns: int = 0, vcpu_ns: int = 0, **newer: Any) -> ReceiptPair:
    """An hour of a lease, with so much used in it."""
    last = make_receipt(lease, 9, at_ns=newer.pop("at_ns", NOW_NS + HOUR), gpu_ns=gpu_ns, vcpu_ns=vcpu_ns, **newer)
    return ReceiptPair(make_receipt(lease, 1), last)


def over(*pairs: ReceiptPair, verified: Verified = VERIFIED) -> Any:
    ordered = sorted(pairs, key=lambda pair: pair.older.receipt.lease_id)
    return find_over_capacity(ordered, verified, 3, SEPARATOR, OWNERS)


def test_more_than_all_devices_can_serve_is_a_proof_and_one_nanosecond_decides() -> None:
    most = 2 * (HOUR + TOLERANCE_NS)
    assert over(make_pair(b"one", most // 2), make_pair(b"two", most // 2)) is None
    proof = over(make_pair(b"one", most // 2), make_pair(b"two", most // 2 + 1))
    assert (proof.fault, proof.provider, int.from_bytes(proof.subject, "big")) == (Fault.OVER_CAPACITY, PROVIDER, 3)
    assert over(make_pair(b"one", vcpu_ns=8 * (HOUR + TOLERANCE_NS) + 1)) is not None


def test_a_kind_of_which_the_verdict_knows_none_is_not_judged() -> None:
    no_gpus = Verified(0, 8, VERIFIED.from_s, VERIFIED.until_s)
    assert over(make_pair(b"one", 10**18), verified=no_gpus) is None


@pytest.mark.parametrize(
    "pairs",
    [
        (),
        (make_pair(b"one", 10**18), make_pair(b"one", 10**18)),
        (make_pair(b"one", 10**18, at_ns=NOW_NS - 1),),
        (make_pair(b"one", 10**18, at_ns=NOW_NS + 10_001 * SECOND),),
        (make_pair(b"one", 10**18, key=STRANGER),),
        (ReceiptPair(make_receipt(b"one", 1), make_receipt(b"two", 2, gpu_ns=10**18)),),
        (ReceiptPair(make_receipt(b"one", 2), make_receipt(b"one", 2, gpu_ns=10**18)),),
        (ReceiptPair(make_receipt(b"one", 1, vcpu_ns=1), make_receipt(b"one", 2, gpu_ns=10**18)),),
        tuple(make_pair(b"%d" % number, 10**18) for number in range(65)),
    ],
    ids=["none", "one lease twice", "out of order", "after the verdict", "of two providers", "of two leases",
         "of one number", "usage that falls", "more than 64"],
)  # fmt: skip
def test_pairs_that_the_contract_would_not_take_are_no_proof(pairs: tuple[ReceiptPair, ...]) -> None:
    assert over(*pairs) is None


def test_the_outermost_receipts_of_each_lease_make_the_pairs() -> None:
    times = (NOW_NS - 1, NOW_NS, NOW_NS + 5, NOW_NS + 9, NOW_NS + 10)
    found = [make_receipt(lease, place, at_ns=at) for lease in (b"b", b"a") for place, at in enumerate(times)]
    pairs = make_pairs([*found, make_receipt(b"alone")], NOW_NS, NOW_NS + 9)
    assert [(pair.older.receipt.number, pair.newer.receipt.number) for pair in pairs] == [(1, 3), (1, 3)]
    assert [pair.older.receipt.lease_id for pair in pairs] == sorted((keccak(b"a"), keccak(b"b")))


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
    answer = CapacityAnswer(keccak(b"challenge"), 0, N, DEVICE.seed, root or WRONG.find_root())
    signature = sign_digest(make_key(key), answer_digest_of(REGISTRY.separator(), answer))
    return AnswerDocument(REGISTRY.chain_id, REGISTRY.contract, SignedAnswer(answer, signature), proof)


def test_a_wrong_element_under_a_signed_root_is_a_proof() -> None:
    document = make_answer_document()
    proof = find_wrong_element(document, DEVICE, OWNERS)
    assert proof is not None and (proof.fault, proof.provider) == (Fault.WRONG_ELEMENT, PROVIDER)
    assert proof.subject == answer_digest_of(REGISTRY.separator(), document.signed.answer)


def test_a_right_element_or_one_of_another_answer_proves_nothing() -> None:
    right = read_element_proof(CASE["elementProofs"][0])
    root = hash_of(CASE["root"])
    assert find_wrong_element(make_answer_document(right, root), DEVICE, OWNERS) is None
    beside = replace(WRONG, column=(WRONG.column + 1) % 256)
    assert find_wrong_element(make_answer_document(beside), DEVICE, OWNERS) is None, "only the one element is wrong"
    assert find_wrong_element(make_answer_document(root=root), DEVICE, OWNERS) is None
    assert find_wrong_element(make_answer_document(None), DEVICE, OWNERS) is None
    assert find_wrong_element(make_answer_document(key=STRANGER), DEVICE, OWNERS) is None, "not who was challenged"
    other = Device(PROVIDER, keccak(b"another seed"), N)
    assert find_wrong_element(make_answer_document(), other, OWNERS) is None


def test_a_leaf_outside_of_the_tree_or_a_path_of_another_length_proves_nothing() -> None:
    for proof in (replace(WRONG, index=WRONG.index + 256 * N), replace(WRONG, path=WRONG.path[:-1])):
        assert find_wrong_element(make_answer_document(proof, proof.find_root()), DEVICE, OWNERS) is None


def make_passing_document(row_is_opened: bool = True, key: int = NODE, **changes: Any) -> VerdictDocument:
    """A verdict that passed the wrong answer; its entropy opened the wrong row, or not."""
    row = WRONG.find_place(N)[0]
    entropy = (keccak(number.to_bytes(4, "big")) for number in range(10_000))
    seed = next(one for one in entropy if (row in find_opened_rows(one, 1, N)) == row_is_opened)
    roots = (keccak(b"a right answer"), WRONG.find_root())
    told = {"opening_seed": seed, "answers_hash": answers_hash_of(roots)} | changes
    return replace(make_verdict_document(key, **told), roots=roots, device=1, proof=WRONG)


def test_a_verdict_that_passed_a_wrong_row_it_opened_is_a_proof() -> None:
    proof = find_false_verdict(make_passing_document(), DEVICE, OWNERS)
    assert proof is not None and (proof.fault, proof.provider) == (Fault.FALSE_VERDICT, PROVIDER)
    assert proof.subject == keccak(b"challenge")


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
        assert find_false_verdict(document, DEVICE, OWNERS) is None


@pytest.mark.parametrize(
    "document", [make_offer_document(), make_quote_document(), make_answer_document(), make_passing_document()]
)
def test_documents_come_back_from_their_bytes(document: Any) -> None:
    assert decode_strict(encode(document), type(document)) == document
