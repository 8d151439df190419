"""The contracts and metering agree: what metering proves, the judges take, with the same id or amount; what it does not, they
refuse. FaultProver is only asked: evidence without a commitment is refused last of all, by NotCommitted, which names the
evidence's id."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
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
    answer_digest_of,
    answers_hash_of,
    element_at,
    find_opened_rows,
    verdict_digest_of,
)
from metering.eip712 import Domain, keccak, typed_digest
from metering.evidence import AnswerDocument, LeaseDocument, NumberedDocument, VerdictDocument
from metering.faults import (
    Contradictable,
    Device,
    Drawn,
    Fault,
    Known,
    Proof,
    find_equivocations,
    find_false_verdict,
    find_wrong_element,
    keep_leases,
)
from metering.over_capacity import OverCapacity, ReceiptPair, Verified, chain_of, find_over_capacity
from metering.receipt import Receipt, SignedReceipt, receipt_digest_of
from metering.signature import sign_digest
from metering.sla import find_breach
from metering.terms import Escrow, LeaseTerms, escrow_id_of, lease_id_of
from metering.units import NANOS_PER_SECOND, PPM, U128, U128_MAX, ZERO_ADDRESS, ZERO_HASH, Address, Amount, Hash32
from metering.usage import NO_USAGE
from tests.make.values import address_of, make_key, make_terms
from tests.make.waiting import wait_until
from tests.xnode.chain.devchain import TOKEN, Bed, DevChain, deploy_on, start_anvil
from xnode.chain.abi.codec import Call
from xnode.chain.contracts import (
    breach_prover,
    capacity_registry,
    fault_prover,
    openx_token,
    over_capacity,
    payment_escrow,
    provider_registry,
    verifier_registry,
)
from xnode.chain.contracts.provider_registry import Role
from xnode.chain.deployment.devnet import CHAIN_ID
from xnode.chain.deployment.manifest import Manifest
from xnode.chain.fault_search import read_authors
from xnode.chain.node.json_rpc import JsonRpc, Reverted
from xnode.text.hex import parse_hex, to_hex

pytestmark = pytest.mark.chain

NODE, ROTATED, STRANGER, NOBODY = 1, 2, 3, 9
VERIFIERS = (11, 12, 13)
DEVICES, N = 4, 1024
SALT = Hash32(b"\5" * 32)
FAR_S = 2**40


def owner_of(key: int) -> Address:
    """Keys 1 and 2 are two node keys of one provider, one after the other."""
    return address_of(1001 if key == ROTATED else 1000 + key)


KNOWN_KEYS = (NODE, ROTATED, STRANGER, *VERIFIERS)
OWNERS = {address_of(key): owner_of(key) for key in KNOWN_KEYS}


@dataclass(frozen=True, slots=True)
class Ground:
    """A chain with registered providers, verifiers, one challenge that was passed, and an escrow with money in it."""

    chain: DevChain
    manifest: Manifest
    challenge_id: Hash32
    seeds: tuple[Hash32, ...]
    roots: tuple[Hash32, ...]
    verified: Verified
    escrow: Escrow
    known: Known
    leases: tuple[LeaseDocument, ...]

    @property
    def escrow_domain(self) -> Domain:
        return Domain(CHAIN_ID, self.manifest.contracts.payment_escrow)

    @property
    def capacity_domain(self) -> Domain:
        return Domain(CHAIN_ID, self.manifest.contracts.capacity_registry)

    def sign(self, key: int, domain: Domain, kind: str, value: object) -> bytes:
        return sign_digest(make_key(key), typed_digest(domain.separator(), kind, value))


# ------------------------------------------------------------------------------------------------------------ the ground


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    chain = start_anvil()
    made: list[Ground] = []

    async def make() -> None:
        folder = tmp_path_factory.mktemp("faults")
        manifest = await deploy_on(chain.url, folder)
        async with JsonRpc(chain.url, CHAIN_ID) as rpc:
            made.append(await make_ground(chain, manifest, rpc, folder))

    trio.run(make)
    yield made[0]
    chain.end()


async def send(rpc: JsonRpc, sender: Address, to: Address, data: bytes) -> None:
    """A transaction by any address, mined when this returns."""
    await rpc.write("anvil_setBalance", to_hex(sender), hex(10 * TOKEN))
    await rpc.write("anvil_impersonateAccount", to_hex(sender))
    # What a draw takes depends on the block that it is in: an estimate is for another one.
    call = {"from": to_hex(sender), "to": to_hex(to), "data": to_hex(data), "gas": hex(10_000_000)}
    tx_hash = await rpc.write("eth_sendTransaction", call)
    # anvil mines at once, but answers a little before it does.
    receipt = await wait_until(lambda: rpc.read("eth_getTransactionReceipt", tx_hash))
    assert receipt["status"] == "0x1", f"{data[:4].hex()} reverted"


async def register(rpc: JsonRpc, manifest: Manifest, key: int, *, rotate: bool = False) -> None:
    registry, owner = manifest.contracts.provider_registry, owner_of(key)
    nonce = await rpc.view(registry, provider_registry.NONCES, owner)
    consent = {"provider": owner, "node_key": address_of(key), "nonce": nonce, "deadline": FAR_S}
    domain = provider_registry.make_domain(CHAIN_ID, registry)
    digest = typed_digest(domain.separator(), "NodeKey", type("Consent", (), consent))
    signature = sign_digest(make_key(key), digest)
    if rotate:
        data = provider_registry.ROTATE_NODE_KEY.encode(address_of(key), FAR_S, signature)
    else:
        data = provider_registry.REGISTER.encode(address_of(key), owner, FAR_S, signature)
    await send(rpc, owner, registry, data)


async def approve(bed: Bed, owner: Address, spender: Address, amount: int) -> None:
    await bed.give(owner, openx=amount)
    await send(bed.rpc, owner, bed.manifest.contracts.openx_token, openx_token.APPROVE.encode(spender, amount))


async def make_ground(chain: DevChain, manifest: Manifest, rpc: JsonRpc, folder: Path) -> Ground:
    bed, contracts = Bed(manifest, rpc, folder), manifest.contracts
    for key in (NODE, STRANGER, *VERIFIERS):
        await register(rpc, manifest, key)
    await register(rpc, manifest, ROTATED, rotate=True)
    for key in VERIFIERS:
        await approve(bed, owner_of(key), contracts.provider_registry, 100 * TOKEN)
        pledge = provider_registry.STAKE_INTO.encode(owner_of(key), int(Role.VERIFIER), 100 * TOKEN)
        await send(rpc, owner_of(key), contracts.provider_registry, pledge)
        await send(rpc, owner_of(key), contracts.verifier_registry, verifier_registry.ENLIST.encode())
    challenge_id, seeds, roots = await pass_challenge(bed)
    history = await rpc.view(contracts.capacity_registry, capacity_registry.HISTORY_OF, owner_of(NODE), 0)
    verified = Verified(history.gpus, history.vcpus, history.since, history.until)
    escrow = await open_escrow(bed)
    leases = tuple(make_lease(manifest, escrow, number, verified.from_s) for number in range(4))
    authors = await read_authors(rpc, manifest, OWNERS)
    known = Known(
        authors,
        keep_leases(leases[:3], Domain(CHAIN_ID, contracts.payment_escrow).separator(), authors),
        {challenge_id: await read_challenge(rpc, manifest, challenge_id)},
    )
    return Ground(chain, manifest, challenge_id, seeds, roots, verified, escrow, known, leases)


def make_lease(manifest: Manifest, escrow: Escrow, number: int, begun_s: int) -> LeaseDocument:
    """Between key 0 and the provider's first node key. Both sides signed all but the fourth."""
    domain = Domain(CHAIN_ID, manifest.contracts.payment_escrow)
    resources = replace(make_terms().resources, vcpu_milli=1000 * DEVICES, gpus=1)
    terms = make_terms(
        provider=owner_of(NODE), node=address_of(NODE), lease_number=number, resources=resources,
        open_until_ns=begun_s * NANOS_PER_SECOND,
    )  # fmt: skip
    lease_id = lease_id_of(domain.separator(), terms)
    ours, theirs = (sign_digest(make_key(key), lease_id) for key in (0, NODE if number < 3 else STRANGER))
    return LeaseDocument(CHAIN_ID, domain.contract, escrow, terms, ours, theirs)


async def read_challenge(rpc: JsonRpc, manifest: Manifest, challenge_id: Hash32) -> Drawn:
    registry = manifest.contracts.capacity_registry
    row = await rpc.view(registry, capacity_registry.CHALLENGE_OF, challenge_id)
    drawn_s = await rpc.view(registry, capacity_registry.DRAWN_AT, challenge_id)
    return Drawn(drawn_s, row.deadline, frozenset(row.panel))


async def pass_challenge(bed: Bed) -> tuple[Hash32, tuple[Hash32, ...], tuple[Hash32, ...]]:
    """A challenge of the provider's vCPUs, whose answers are all wrong, passed by a panel that saw nothing."""
    rpc, registry, provider = bed.rpc, bed.manifest.contracts.capacity_registry, owner_of(NODE)
    await approve(bed, provider, registry, 2 * TOKEN)
    await send(rpc, provider, registry, capacity_registry.REQUEST_CHALLENGE.encode([(0, DEVICES)]))
    challenge_id = await rpc.view(registry, capacity_registry.OPEN_CHALLENGE_OF, provider)
    await rpc.write("anvil_mine", hex(3))
    await send(rpc, provider, registry, capacity_registry.DRAW.encode(challenge_id))
    drawn = await rpc.view(registry, capacity_registry.CHALLENGE_OF, challenge_id)
    seeds = tuple(keccak(drawn.seed + device.to_bytes(32, "big")) for device in range(DEVICES))
    roots = tuple(make_element_proof(seed, row=0).find_root() for seed in seeds)
    verdict = Verdict(challenge_id, answers_hash_of(roots), True, keccak(b"entropy"))
    domain = Domain(CHAIN_ID, registry)
    panel = sorted(VERIFIERS, key=owner_of)
    signed = [sign_digest(make_key(key), verdict_digest_of(domain.separator(), verdict)) for key in panel]
    members, verdicts = [owner_of(key) for key in panel], [verdict] * len(panel)
    data = capacity_registry.RECORD.encode(challenge_id, list(roots), members, verdicts, signed)
    await send(rpc, provider, registry, data)
    return challenge_id, seeds, roots


async def open_escrow(bed: Bed) -> Escrow:
    """From which the stranger's key could be given refunds: 1,000 tokens."""
    rpc, contracts, payer = bed.rpc, bed.manifest.contracts, address_of(500)
    escrow = Escrow(payer, address_of(0), owner_of(NODE), contracts.openx_token, ZERO_HASH, 3600, 1)
    await approve(bed, payer, contracts.payment_escrow, 1000 * TOKEN)
    deposit = payment_escrow.DEPOSIT.encode(payer, contracts.openx_token, 1000 * TOKEN)
    await send(rpc, payer, contracts.payment_escrow, deposit)
    await send(rpc, payer, contracts.payment_escrow, payment_escrow.OPEN.encode(escrow, 1000 * TOKEN))
    return escrow


def make_element_proof(seed: Hash32, row: int, is_wrong: bool = True) -> ElementProof:
    """The first leaf of a row with one right or wrong element in it, in a tree whose rest is unknown."""
    right = element_at(seed, N, row, 5)
    element = right + 1 if is_wrong else right
    values = bytes(20) + element.to_bytes(4, "big", signed=True) + bytes(1000)
    leaves = N * (N // 256)
    return ElementProof(
        row * (N // 256), 5, values, tuple(keccak(b"%d" % level) for level in range(leaves.bit_length() - 1))
    )


# ------------------------------------------------------------------------------------------------------- what it is asked


async def pass_time(rpc: JsonRpc, seconds: int) -> None:
    await rpc.write("evm_increaseTime", hex(seconds))
    await rpc.write("evm_mine")


async def try_out(rpc: JsonRpc, to: Address, data: bytes, sender: Address = ZERO_ADDRESS) -> bytes:
    """What the transaction would return, without sending it."""
    call = {"from": to_hex(sender), "to": to_hex(to), "data": to_hex(data)}
    return parse_hex(await rpc.read("eth_call", call, "latest"))


async def ask(ground: Ground, call: Call, *values: object) -> Hash32 | None:
    """The id of the fault that the contract would take after a commitment, or None when it refuses the evidence."""
    async with JsonRpc(ground.chain.url, CHAIN_ID) as rpc:
        try:
            await try_out(rpc, ground.manifest.contracts.fault_prover, call.encode(*values))
        except Reverted as error:
            if error.revert.name == "NotCommitted":
                return Hash32(error.revert.values["evidenceId"])
            assert error.revert.name not in ("UnknownError", "Panic"), error.revert
            return None
    raise AssertionError("nothing is proved without a commitment")


def agree(found: Hash32 | None, proof: Proof | None) -> bool:
    """True when both see the same, and how often there was something to see is counted by the caller."""
    assert found == (proof.evidence_id if proof else None), f"the contract says {found!r}, metering says {proof}"
    return proof is not None


def make_receipt(ground: Ground, key: int = NODE, **changes: Any) -> SignedReceipt:
    since_s = ground.known.authors.keys[address_of(key)].since_s if key in KNOWN_KEYS else 0
    at_ns = max(since_s, 10**9) * NANOS_PER_SECOND
    receipt = Receipt(ground.leases[0].lease_id, 7, at_ns, 10**9, NO_USAGE, Amount(5), False)
    receipt = replace(receipt, **changes)
    return SignedReceipt(
        receipt, sign_digest(make_key(key), receipt_digest_of(ground.escrow_domain.separator(), receipt))
    )


def make_document(ground: Ground, kind: Any, key: int = NODE, **changes: Any) -> NumberedDocument:
    domain = ground.escrow_domain
    fields: dict[str, Any] = {
        "provider": owner_of(NODE),
        "node": address_of(NODE),
        "number": 7,
        "expires_at_ns": ground.known.authors.keys[address_of(NODE)].since_s * NANOS_PER_SECOND,
    } | changes
    unsigned = NumberedDocument(CHAIN_ID, domain.contract, kind, **fields, body_hash=keccak(b"body"), signature=b"")
    return replace(unsigned, signature=ground.sign(key, domain, kind, unsigned))


def make_verdict(ground: Ground, key: int = VERIFIERS[0], **changes: Any) -> VerdictDocument:
    domain = ground.capacity_domain
    verdict = replace(Verdict(ground.challenge_id, answers_hash_of(ground.roots), True, keccak(b"entropy")), **changes)
    signed = SignedVerdict(verdict, ground.sign(key, domain, "Verdict", verdict))
    return VerdictDocument(CHAIN_ID, domain.contract, signed, ground.roots)


def make_call(ground: Ground, a: Contradictable, b: Contradictable) -> tuple[Any, ...]:
    """The contract's function for two documents of one kind, with its arguments."""
    match a, b:
        case SignedReceipt(), SignedReceipt():
            shown = next(one for one in ground.leases if one.lease_id == a.receipt.lease_id)
            receipts = (fault_prover.receipt_of(one) for one in (a, b))
            return fault_prover.PROVE_RECEIPTS, fault_prover.lease_of(shown), *receipts, SALT
        case NumberedDocument(), NumberedDocument():
            call = fault_prover.PROVE_OFFERS if a.kind == "Offer" else fault_prover.PROVE_QUOTES
            return call, a, a.signature, b, b.signature, SALT
        case VerdictDocument(), VerdictDocument():
            one, other = a.signed, b.signed
            return fault_prover.PROVE_VERDICTS, one.verdict, one.signature, other.verdict, other.signature, SALT
    raise AssertionError("two kinds")


Maker = Callable[[random.Random, Ground], Contradictable]
KEYS = (NODE, NODE, NODE, NODE, ROTATED, STRANGER, NOBODY)


def any_receipt(entropy: random.Random, ground: Ground) -> Contradictable:
    fields = {
        "number": entropy.choice((7, 7, 8)),
        "cost": Amount(entropy.choice((5, 6))),
        "final": entropy.random() < 0.3,
    }
    lease = ground.leases[entropy.choice((0, 0, 0, 0, 1, 3))]
    keys = ground.known.authors.keys
    dates = [keys[address_of(key)].since_s + off for key in (NODE, ROTATED) for off in (-1, 0, 0, 0, 1)]
    at_ns = entropy.choice(dates) * NANOS_PER_SECOND + entropy.choice((0, NANOS_PER_SECOND - 1))
    return make_receipt(ground, entropy.choice(KEYS), lease_id=lease.lease_id, at_ns=at_ns, **fields)


def any_offer(entropy: random.Random, ground: Ground) -> Contradictable:
    node = address_of(entropy.choice((NODE, NODE, NODE, STRANGER)))
    rotated_ns = ground.known.authors.keys[address_of(ROTATED)].since_s * NANOS_PER_SECOND
    expires_ns = rotated_ns + entropy.choice((-1, 0, 0, 1, NANOS_PER_SECOND))
    fields = {"number": entropy.choice((7, 7, 8)), "expires_at_ns": expires_ns, "node": node}
    return make_document(ground, "Offer", entropy.choice(KEYS), **fields)


def any_quote(entropy: random.Random, ground: Ground) -> Contradictable:
    provider = owner_of(entropy.choice((NODE, STRANGER)))
    return make_document(ground, "Quote", entropy.choice(KEYS), number=entropy.choice((7, 7, 8)), provider=provider)


def any_verdict(entropy: random.Random, ground: Ground) -> Contradictable:
    key = entropy.choice((11, 11, 12, NOBODY))
    challenge_id = entropy.choice((ground.challenge_id, ground.challenge_id, keccak(b"another")))
    return make_verdict(ground, key, passed=entropy.random() < 0.5, challenge_id=challenge_id)


@pytest.mark.parametrize("make", [any_receipt, any_offer, any_quote, any_verdict])
async def test_the_same_documents_contradict_each_other(ground: Ground, make: Maker) -> None:
    entropy, proofs = random.Random(7), 0
    for _ in range(400):
        a, b = make(entropy, ground), make(entropy, ground)
        proof = next(iter(find_equivocations((a, b), ground.escrow_domain.separator(), ground.known)), None)
        proofs += agree(await ask(ground, *make_call(ground, a, b)), proof)
    assert 5 <= proofs <= 395


# --------------------------------------------------------------------------------------------------- answers and verdicts


def any_element_proof(entropy: random.Random, seed: Hash32) -> ElementProof:
    proof = make_element_proof(seed, row=entropy.choice((0, 0, 3, N - 1)), is_wrong=entropy.random() < 0.8)
    if entropy.random() < 0.2:
        proof = replace(proof, path=proof.path[1:])
    return replace(proof, index=proof.index + N * N) if entropy.random() < 0.1 else proof


async def test_the_same_elements_are_wrong(ground: Ground) -> None:
    entropy, proofs, domain = random.Random(9), 0, ground.capacity_domain
    for _ in range(30):
        number = entropy.randrange(DEVICES)
        seed = ground.seeds[number if entropy.random() < 0.9 else 0]
        proof = any_element_proof(entropy, seed)
        root = proof.find_root() if entropy.random() < 0.9 else keccak(b"another tree")
        answer = CapacityAnswer(ground.challenge_id, number, entropy.choice((N, N, N, 512)), seed, root)
        key = entropy.choice((NODE, ROTATED, ROTATED, ROTATED, STRANGER, NOBODY))
        signature = sign_digest(make_key(key), answer_digest_of(domain.separator(), answer))
        document = AnswerDocument(CHAIN_ID, domain.contract, SignedAnswer(answer, signature), proof)
        device = Device(owner_of(NODE), ground.seeds[number], N)
        call = (fault_prover.PROVE_WRONG_ELEMENT, answer, signature, proof, SALT)
        proofs += agree(await ask(ground, *call), find_wrong_element(document, device, ground.known))
    assert 5 <= proofs <= 25


async def test_the_same_verdicts_are_false(ground: Ground) -> None:
    entropy, proofs = random.Random(10), 0
    sees_row_0 = (keccak(b"%d" % number) for number in range(10_000))
    seeds = [next(one for one in sees_row_0 if 0 in find_opened_rows(one, device, N)) for device in range(DEVICES)]
    for _ in range(40):
        number = entropy.randrange(DEVICES)
        proof = (
            any_element_proof(entropy, ground.seeds[number])
            if entropy.random() < 0.3
            else make_element_proof(ground.seeds[number], 0)
        )
        changes = {
            "passed": entropy.random() < 0.9,
            "opening_seed": seeds[number] if entropy.random() < 0.8 else keccak(b"x"),
        }
        document = make_verdict(ground, entropy.choice((11, 12, NOBODY)), **changes)
        document = replace(document, device=number if entropy.random() < 0.9 else number + 1, proof=proof)
        told = ground.seeds[document.device] if document.device < DEVICES else ZERO_HASH
        device = Device(owner_of(NODE), told, N)
        verdict, signature = document.signed.verdict, document.signed.signature
        call = (verdict, signature, list(document.roots), document.device, proof, SALT)
        found = await ask(ground, fault_prover.PROVE_FALSE_VERDICT, *call)
        proofs += agree(found, find_false_verdict(document, device, ground.known))
    assert 5 <= proofs <= 35


# ---------------------------------------------------------------------------------------------------------------- breach


async def refunded(ground: Ground, terms: LeaseTerms, last: SignedReceipt) -> int:
    """What the contract would give back now; nothing when it refuses."""
    lease_id = lease_id_of(ground.escrow_domain.separator(), terms)
    ours, theirs = (sign_digest(make_key(key), lease_id) for key in (0, NODE))
    async with JsonRpc(ground.chain.url, CHAIN_ID) as rpc:
        try:
            document = LeaseDocument(CHAIN_ID, ground.escrow_domain.contract, ground.escrow, terms, ours, theirs)
            data = breach_prover.make_breach(document, last)
            return int.from_bytes(await try_out(rpc, ground.manifest.contracts.breach_prover, data), "big")
        except Reverted as error:
            expected = ("PromiseKept", "NotTheLast", "NothingPromised", "NothingToRefund")
            assert error.revert.name in expected, error.revert
            return 0


async def test_the_same_part_of_the_cost_goes_back(ground: Ground) -> None:
    entropy, breaches = random.Random(11), 0
    escrow_id = escrow_id_of(ground.escrow_domain.separator(), ground.escrow)
    async with JsonRpc(ground.chain.url, CHAIN_ID) as rpc:
        await pass_time(rpc, 7200)
    open_until_ns = (ground.known.authors.keys[address_of(ROTATED)].since_s + 1) * NANOS_PER_SECOND
    for number in range(80):
        terms = make_terms(
            open_until_ns=open_until_ns,
            provider=owner_of(NODE), escrow_id=escrow_id, asset=ground.escrow.asset, lease_number=number,
            availability_ppm=entropy.choice((0, 1, 500_000, 990_000, PPM)), refund_ppm=entropy.choice((0, 1, 333_333, PPM)),
        )  # fmt: skip
        passed_ns = entropy.choice((-1, 0, 1, 10**9, 3600 * 10**9 + 7))
        limit_ns = -(-max(0, passed_ns) * terms.availability_ppm // PPM)
        receipt: dict[str, Any] = {
            "lease_id": lease_id_of(ground.escrow_domain.separator(), terms), "final": entropy.random() < 0.9,
            "at_ns": terms.open_until_ns + passed_ns, "running_ns": max(0, limit_ns + entropy.choice((-1, -1, 0, 1))),
            "cost": Amount(entropy.choice((0, 2, 10**18 + 1, 999 * TOKEN))),
        }  # fmt: skip
        last = make_receipt(ground, ROTATED, **receipt)
        due = find_breach(terms, last.receipt) or 0
        assert await refunded(ground, terms, last) == due
        breaches += due > 0
    assert 8 <= breaches <= 72


def test_amounts_and_times_at_their_largest_fit_the_contracts_arithmetic() -> None:
    terms = make_terms(open_until_ns=0, availability_ppm=PPM, refund_ppm=PPM)
    last = Receipt(keccak(b"lease"), 1, 2**64 - 1, 0, NO_USAGE, Amount(U128_MAX), True)
    assert find_breach(terms, last) == U128_MAX
    assert (2**64 - 1) * PPM < 2**255 and U128_MAX * PPM < 2**256


# -------------------------------------------------------------------------------------------------------- over capacity


def any_pairs(entropy: random.Random, ground: Ground) -> tuple[ReceiptPair, ...]:
    """Three leases of two hours; what is used lies about where the verdict's vCPUs end."""
    begin_ns = ground.verified.from_s * NANOS_PER_SECOND + entropy.choice((-(10**9), 0, 0, 0, 0, 10**9))
    hours = entropy.choice((1, 2, 2, 2))
    most_ns = ground.verified.vcpus * (hours * 3600 + 900) * NANOS_PER_SECOND
    parts = sorted(entropy.randint(0, most_ns) for _ in range(2))
    used = [parts[0], parts[1] - parts[0], most_ns - parts[1] + entropy.choice((-1, 0, 1, 1, 10**12))]
    pairs = []
    for place, vcpu_ns in enumerate(used):
        lease = ground.leases[place if entropy.random() < 0.97 else 3]
        key = entropy.choice((ROTATED, ROTATED, ROTATED, ROTATED, ROTATED, ROTATED, ROTATED, NODE, STRANGER))
        usage = replace(NO_USAGE, vcpu_ns=U128(1000 + vcpu_ns), gpu_ns=U128(entropy.choice((0, 10**18))))
        base = replace(NO_USAGE, vcpu_ns=U128(1000))
        older = make_receipt(
            ground, ROTATED, lease_id=lease.lease_id, number=1, at_ns=begin_ns, usage=base, running_ns=0
        )
        number = 1 if entropy.random() < 0.05 else 2
        end_ns = begin_ns + (hours * 3600 - (entropy.random() < 0.05)) * NANOS_PER_SECOND
        newer = make_receipt(ground, key, lease_id=lease.lease_id, number=number, at_ns=end_ns, usage=usage)
        pairs.append(ReceiptPair(lease, older, newer, 0))
    ordered = sorted(pairs, key=lambda pair: pair.older.receipt.lease_id)
    return tuple(ordered if entropy.random() < 0.95 else reversed(ordered))


async def test_the_same_usage_is_over_capacity(ground: Ground) -> None:
    # Last of all: a chain that was set back tells its calls another time.
    assert (ground.verified.gpus, ground.verified.vcpus) == (0, DEVICES)
    entropy, proofs, separator = random.Random(8), 0, ground.escrow_domain.separator()
    async with JsonRpc(ground.chain.url, CHAIN_ID) as rpc:
        # Documents of the next hours are none yet.
        await pass_time(rpc, 6 * 3600)
        authors = await read_authors(rpc, ground.manifest, OWNERS)
        for _ in range(60):
            pairs = any_pairs(entropy, ground)
            proof = find_over_capacity(pairs, {0: ground.verified}, 0, separator, authors)
            assert await close_case(rpc, ground, pairs) == (proof is not None), proof
            proofs += proof is not None
    assert 5 <= proofs <= 55


async def close_case(rpc: JsonRpc, ground: Ground, pairs: Sequence[ReceiptPair]) -> bool:
    """Whether the contract slashes for these pairs, to which a reporter committed. The chain is afterwards as it was."""
    before = await rpc.write("evm_snapshot")
    judge, reporter = ground.manifest.contracts.over_capacity, address_of(700)
    chain = chain_of(pairs, ground.escrow_domain.separator())
    case = OverCapacity(
        fault=Fault.OVER_CAPACITY, provider=owner_of(NODE), first=ZERO_HASH, second=chain, dated_s=0, pairs=tuple(pairs),
        history_index=0,
    )  # fmt: skip
    commitment = fault_prover.make_commitment(reporter, case.evidence_id, SALT)
    try:
        await send(rpc, reporter, judge, fault_prover.COMMIT.encode(commitment))
        await pass_time(rpc, 600)
        await send(rpc, reporter, judge, over_capacity.make_opening(case, commitment))
        for data in (over_capacity.make_addition(commitment, pairs), over_capacity.CLOSE.encode(commitment, SALT)):
            await try_out(rpc, judge, data, reporter)
            await send(rpc, reporter, judge, data)
    except Reverted as error:
        assert error.revert.name not in ("UnknownError", "Panic", "NotCommitted", "NoCase"), error.revert
        return False
    finally:
        await rpc.write("evm_revert", before)
    return True
