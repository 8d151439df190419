"""Suspect: a provider with stake whose node key signs whatever a test likes, and a lease whose promise it breaks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio
from msgspec.structs import replace

from metering.eip712 import keccak
from metering.evidence import LeaseDocument, NumberedDocument
from metering.faults import Fault, Proof
from metering.receipt import Receipt, SignedReceipt
from metering.resources import Resources
from metering.terms import Escrow, escrow_id_of
from metering.units import NANOS_PER_HOUR, NANOS_PER_SECOND, ZERO_HASH, Address, Amount, Hash32, mul_div_down
from metering.usage import Counters, usage_of
from metering.voucher import Voucher
from tests.make.values import make_escrow, make_terms
from tests.make.verifiers import Verifiers, make_verifiers
from tests.xnode.chain.devchain import PACE, TOKEN, Bed, make_wallet
from xnode.chain.contracts import payment_escrow
from xnode.chain.contracts.provider_registry import Role
from xnode.chain.fault_search import SignedDocument, find_proofs, read_proven
from xnode.chain.intents.faults import commit_fault, prove_fault
from xnode.chain.intents.payments import deposit
from xnode.chain.intents.registration import register_provider
from xnode.chain.intents.session import WalletSession, open_session
from xnode.chain.intents.stake import add_stake
from xnode.chain.intents.verification import request_challenge
from xnode.chain.provider_record import read_record, read_stake
from xnode.chain.send.tx_journal import make_engine
from xnode.ports.chain import ClaimRow
from xnode.wallet.signer import NodeSigner, WalletKey

STAKE = 100 * TOKEN
SALT = Hash32(b"\x05" * 32)
LIMITS = Resources(4000, 1 << 30, 1 << 30)


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


@asynccontextmanager
async def open_suspect(bed: Bed) -> AsyncIterator[Suspect]:
    """A registered provider with stake."""
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


@asynccontextmanager
async def open_broken(suspect: Suspect) -> AsyncIterator[Broken]:
    """Ten hours after the lease began."""
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
