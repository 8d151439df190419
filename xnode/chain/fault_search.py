"""Faults: what a set of signed documents proves, by what the chain knows of the keys that signed and of the challenges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from metering.authors import Authors, BoundKey
from metering.capacity import answer_digest_of, verdict_digest_of
from metering.eip712 import typed_digest
from metering.evidence import (
    AnswerDocument,
    CoveredVoucher,
    LeaseDocument,
    NumberedDocument,
    PrepaidVoucher,
    VerdictDocument,
)
from metering.faults import (
    Device,
    Drawn,
    Known,
    Proof,
    find_equivocations,
    find_false_verdict,
    find_wrong_element,
    keep_leases,
)
from metering.over_capacity import OverCapacity, Verified
from metering.receipt import SignedReceipt, receipt_digest_of
from metering.signature import recover_signer
from metering.units import ZERO_ADDRESS, Address, Hash32
from xnode.chain.contracts import capacity_registry, fault_prover, provider_registry
from xnode.chain.deployment.manifest import Manifest
from xnode.chain.node.json_rpc import JsonRpc
from xnode.chain.node.questions import ask_latest
from xnode.chain.overuse import find_overuse

SignedDocument = (
    LeaseDocument
    | SignedReceipt
    | CoveredVoucher
    | PrepaidVoucher
    | NumberedDocument
    | AnswerDocument
    | VerdictDocument
)

MAX_HISTORY = 200
"""Verdicts on one provider that its receipts are held against, the newest."""


async def find_proofs(rpc: JsonRpc, manifest: Manifest, documents: Sequence[SignedDocument]) -> list[Proof]:
    """Every provable fault in the documents, one for each number; those of another deployment say nothing here."""
    separator, capacity = manifest.domain.separator(), manifest.capacity_domain.separator()
    ours = [document for document in documents if _is_of(document, separator, capacity)]
    authors = await read_authors(rpc, manifest, _list_signers(ours, separator))
    leases = keep_leases(ours, separator, authors)
    known = Known(authors, leases, await _read_challenges(rpc, manifest, ours))
    numbered = [one for one in ours if isinstance(one, SignedReceipt | NumberedDocument | VerdictDocument)]
    found: list[Proof | None] = list(find_equivocations(numbered, separator, known))
    for document in ours:
        if isinstance(document, AnswerDocument) and document.proof is not None:
            device = await _read_device(
                rpc, manifest, document.signed.answer.challenge_id, document.signed.answer.device
            )
            found.append(find_wrong_element(document, device, known))
        elif isinstance(document, VerdictDocument) and document.proof is not None:
            device = await _read_device(rpc, manifest, document.signed.verdict.challenge_id, document.device)
            found.append(find_false_verdict(document, device, known))
    receipts = [one for one in ours if isinstance(one, SignedReceipt)]
    found += await _find_overuse(rpc, manifest, receipts, separator, known)
    return list({proof.evidence_id: proof for proof in found if proof is not None}.values())


def choose_proofs(proofs: Iterable[Proof]) -> list[Proof]:
    """One of each kind against each provider, the latest: all documents of an episode are one fault, and the latest of them is
    the one that may belong to a new episode."""
    latest: dict[tuple[Address, type[Proof], bool], Proof] = {}
    for proof in sorted(proofs, key=lambda one: one.dated_s):
        # Verdicts cost a verifier's pledge, all else a provider's stake.
        latest[proof.provider, type(proof), isinstance(getattr(proof, "a", None), VerdictDocument)] = proof
    return list(latest.values())


def judge_of(manifest: Manifest, proof: Proof) -> Address:
    """The contract that judges it."""
    contracts = manifest.contracts
    return contracts.over_capacity if isinstance(proof, OverCapacity) else contracts.fault_prover


async def read_authors(rpc: JsonRpc, manifest: Manifest, nodes: Iterable[Address]) -> Authors:
    """From when to when each of these node keys served which provider; a key that is bound to none is left out."""
    asked = list(dict.fromkeys(nodes))
    registry = manifest.contracts.provider_registry
    rows = [(node,) for node in asked]
    bound = await rpc.view_each(registry, provider_registry.BOUND_PROVIDER_OF, rows)
    times = await rpc.view_each(registry, provider_registry.KEY_TIME_OF, rows)
    thaw_s = await rpc.view(registry, provider_registry.STAKE_THAW)
    now_s = (await rpc.ask(ask_latest())).timestamp
    keys = {
        node: BoundKey(owner, time.since, time.until)
        for node, owner, time in zip(asked, bound, times, strict=True)
        if owner != ZERO_ADDRESS
    }
    return Authors(keys, now_s, thaw_s)


async def read_proven(rpc: JsonRpc, manifest: Manifest, proofs: Sequence[Proof]) -> list[bool]:
    """For each, whether it has been proved before."""
    return [await rpc.view(judge_of(manifest, one), fault_prover.IS_PROVEN, one.evidence_id) for one in proofs]


def _is_of(document: SignedDocument, separator: Hash32, capacity: Hash32) -> bool:
    match document:
        case SignedReceipt() | CoveredVoucher() | PrepaidVoucher():
            return True  # They do not say; a signature in another domain recovers to no key that is bound.
        case LeaseDocument() | NumberedDocument():
            return document.separator == separator
        case AnswerDocument() | VerdictDocument():
            return document.separator == capacity


def _list_signers(documents: Sequence[SignedDocument], separator: Hash32) -> list[Address]:
    """Who signed something by which it can be proved wrong, and the nodes that offers name."""
    found: list[Address | None] = []
    for document in documents:
        match document:
            case SignedReceipt():
                found.append(recover_signer(receipt_digest_of(separator, document.receipt), document.signature))
            case NumberedDocument():
                found.append(recover_signer(typed_digest(separator, document.kind, document), document.signature))
                found.append(document.node)
            case AnswerDocument(signed=answer):
                digest = answer_digest_of(document.separator, answer.answer)
                found.append(recover_signer(digest, answer.signature))
            case VerdictDocument(signed=verdict):
                digest = verdict_digest_of(document.separator, verdict.verdict)
                found.append(recover_signer(digest, verdict.signature))
            case LeaseDocument(terms=terms):
                found.append(terms.node)
    return [node for node in found if node is not None]


async def _read_device(rpc: JsonRpc, manifest: Manifest, challenge_id: Hash32, device: int) -> Device:
    registry = manifest.contracts.capacity_registry
    row = await rpc.view(registry, capacity_registry.DEVICE_OF, challenge_id, device)
    return Device(row.provider, row.seed, row.n)


async def _read_challenges(
    rpc: JsonRpc, manifest: Manifest, documents: Sequence[SignedDocument]
) -> dict[Hash32, Drawn]:
    """The challenges that the documents are about, as far as they were drawn."""
    registry = manifest.contracts.capacity_registry
    found: dict[Hash32, Drawn] = {}
    for challenge_id in dict.fromkeys(_list_challenges(documents)):
        drawn_s = await rpc.view(registry, capacity_registry.DRAWN_AT, challenge_id)
        if drawn_s:
            row = await rpc.view(registry, capacity_registry.CHALLENGE_OF, challenge_id)
            found[challenge_id] = Drawn(drawn_s, row.deadline, frozenset(row.panel))
    return found


def _list_challenges(documents: Sequence[SignedDocument]) -> Iterator[Hash32]:
    for document in documents:
        match document:
            case AnswerDocument(signed=answer):
                yield answer.answer.challenge_id
            case VerdictDocument(signed=verdict):
                yield verdict.verdict.challenge_id


async def _find_overuse(
    rpc: JsonRpc, manifest: Manifest, receipts: Sequence[SignedReceipt], separator: Hash32, known: Known
) -> list[Proof]:
    by_provider: dict[Address, list[SignedReceipt]] = {}
    for one in receipts:
        lease = known.leases.get(one.receipt.lease_id)
        if lease is not None:
            by_provider.setdefault(lease.terms.provider, []).append(one)
    found: list[Proof] = []
    for provider, theirs in by_provider.items():
        history = await _read_verdicts(rpc, manifest, provider)
        for index in history:
            proof = find_overuse(theirs, known.leases, history, index, separator, known.authors)
            if proof is not None:
                found.append(proof)
    return found


async def _read_verdicts(rpc: JsonRpc, manifest: Manifest, provider: Address) -> dict[int, Verified]:
    registry = manifest.contracts.capacity_registry
    count = await rpc.view(registry, capacity_registry.HISTORY_LENGTH, provider)
    places = range(max(0, count - MAX_HISTORY), count)
    rows = [(provider, place) for place in places]
    verdicts = await rpc.view_each(registry, capacity_registry.HISTORY_OF, rows)
    return {
        place: Verified(one.gpus, one.vcpus, one.since, one.until) for place, one in zip(places, verdicts, strict=True)
    }
