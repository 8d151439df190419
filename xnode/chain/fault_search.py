"""Faults: what a set of signed documents proves, by what the chain knows of the keys that signed and of the challenges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
    Owners,
    Proof,
    Verified,
    find_equivocations,
    find_false_verdict,
    find_wrong_element,
)
from metering.receipt import SignedReceipt, receipt_digest_of
from metering.signature import recover_signer
from metering.units import ZERO_ADDRESS, Address, Hash32
from xnode.chain.contracts import capacity_registry, fault_prover, provider_registry
from xnode.chain.deployment.manifest import Manifest
from xnode.chain.node.json_rpc import JsonRpc
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
    """Every provable fault in the documents, one for each subject; those of another deployment say nothing here."""
    separator, capacity = manifest.domain.separator(), manifest.capacity_domain.separator()
    ours = [document for document in documents if _is_of(document, separator, capacity)]
    owners = await read_owners(rpc, manifest, _list_signers(ours, separator))
    numbered = [one for one in ours if isinstance(one, SignedReceipt | NumberedDocument | VerdictDocument)]
    found: list[Proof | None] = list(find_equivocations(numbered, separator, owners))
    for document in ours:
        if isinstance(document, AnswerDocument) and document.proof is not None:
            device = await _read_device(
                rpc, manifest, document.signed.answer.challenge_id, document.signed.answer.device
            )
            found.append(find_wrong_element(document, device, owners))
        elif isinstance(document, VerdictDocument) and document.proof is not None:
            device = await _read_device(rpc, manifest, document.signed.verdict.challenge_id, document.device)
            found.append(find_false_verdict(document, device, owners))
    receipts = [one for one in ours if isinstance(one, SignedReceipt)]
    found += await _find_overuse(rpc, manifest, receipts, separator, owners)
    return list({proof.fault_id: proof for proof in found if proof is not None}.values())


async def read_owners(rpc: JsonRpc, manifest: Manifest, nodes: Iterable[Address]) -> dict[Address, Address]:
    """The provider to which each of these node keys is bound forever; a key that is bound to none is left out."""
    asked = list(dict.fromkeys(nodes))
    registry = manifest.contracts.provider_registry
    bound = await rpc.view_each(registry, provider_registry.BOUND_PROVIDER_OF, [(node,) for node in asked])
    return {node: owner for node, owner in zip(asked, bound, strict=True) if owner != ZERO_ADDRESS}


async def read_proven(rpc: JsonRpc, manifest: Manifest, proofs: Sequence[Proof]) -> list[bool]:
    """For each, whether it has been proved before."""
    prover = manifest.contracts.fault_prover
    return await rpc.view_each(prover, fault_prover.IS_PROVEN, [(proof.fault_id,) for proof in proofs])


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
    return [node for node in found if node is not None]


async def _read_device(rpc: JsonRpc, manifest: Manifest, challenge_id: Hash32, device: int) -> Device:
    registry = manifest.contracts.capacity_registry
    row = await rpc.view(registry, capacity_registry.DEVICE_OF, challenge_id, device)
    return Device(row.provider, row.seed, row.n)


async def _find_overuse(
    rpc: JsonRpc, manifest: Manifest, receipts: Sequence[SignedReceipt], separator: Hash32, owners: Owners
) -> list[Proof]:
    by_provider: dict[Address, list[SignedReceipt]] = {}
    for one in receipts:
        node = recover_signer(receipt_digest_of(separator, one.receipt), one.signature)
        if node is not None and node in owners:
            by_provider.setdefault(owners[node], []).append(one)
    found: list[Proof] = []
    for provider, theirs in by_provider.items():
        for index, verified in await _read_verdicts(rpc, manifest, provider):
            proof = find_overuse(theirs, verified, index, separator, owners)
            if proof is not None:
                found.append(proof)
    return found


async def _read_verdicts(rpc: JsonRpc, manifest: Manifest, provider: Address) -> list[tuple[int, Verified]]:
    registry = manifest.contracts.capacity_registry
    count = await rpc.view(registry, capacity_registry.HISTORY_LENGTH, provider)
    places = range(max(0, count - MAX_HISTORY), count)
    rows = [(provider, place) for place in places]
    verdicts = await rpc.view_each(registry, capacity_registry.HISTORY_OF, rows)
    return [
        (place, Verified(one.gpus, one.vcpus, one.since, one.until))
        for place, one in zip(places, verdicts, strict=True)
    ]
