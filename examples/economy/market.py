"""Market: the deployed contracts and what parties do with them, each effect by the transactions it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
import trio

from examples.economy.clockwork import CHAIN_ID, Act, Clockwork
from examples.economy.party import Party, Provider, Submitter
from metering.authors import Authors, BoundKey
from metering.capacity import Verdict, answers_hash_of
from metering.eip712 import keccak
from metering.evidence import NumberedDocument
from metering.faults import Equivocation, Known, find_equivocations
from metering.terms import Escrow
from metering.units import ZERO_ADDRESS, ZERO_HASH, Address, Amount, Hash32, mul_div_down
from metering.voucher import Voucher
from xnode.chain.abi.codec import View
from xnode.chain.capacity import read_challenge
from xnode.chain.contracts import (
    capacity_registry,
    compute_credit,
    fault_prover,
    openx_token,
    payment_escrow,
    provider_registry,
    verifier_registry,
)
from xnode.chain.contracts.capacity_registry import challenge_id_of
from xnode.chain.contracts.provider_registry import Role as StakeRole
from xnode.chain.deployment.deploy import deploy
from xnode.chain.deployment.devnet import CLASSES, OWNER_KEY
from xnode.chain.deployment.manifest import Manifest
from xnode.chain.deployment.plan import CapacityPlan, Credits, Governance, Plan, Supply
from xnode.chain.send.transactor import Pace, Transactor
from xnode.chain.send.tx_journal import SqlTxJournal, make_engine
from xnode.ports.chain import ClaimRow
from xnode.text.amount import OPENX
from xnode.wallet.signer import NodeKey, WalletKey

R = TypeVar("R")

UNIT = OPENX
DAY_S = 86_400
THAW_S = 3_600
FOREVER = 2**63
EVERYTHING = 2**256 - 1
GPU_CLASS = next(number for number, one in enumerate(CLASSES) if one.kind == "gpu")
RECEIPTS = keccak(b"the simulated leases' receipts")
COMMIT_DELAY_S = 600

BACKING_OF = View("ProviderRegistry", "backingOf", int)


@dataclass(frozen=True)
class Rules:
    """What is governed. collateral: OPENX base units of stake behind one tGPU; *_days: a stake's thaw, and so the grace
    of a provider in default; how long a verdict is good; fee, device_fee: of one challenge, and of each of
    its devices; fee_ppm: the escrow's, of each claim."""

    collateral: int
    window_hours: int
    thaw_days: int
    validity_days: int
    fee: int
    fee_ppm: int
    verifiers: int = 5
    panel: int = 3
    verifier_stake: int = 100 * UNIT
    device_fee: int = UNIT // 1000


class Market:
    """All effects. Nothing here decides; scenario.py does."""

    def __init__(self, chain: Clockwork, manifest: Manifest, rules: Rules) -> None:
        self.chain, self.manifest, self.rules = chain, manifest, rules
        self.credit = manifest.contracts.gpu_credit
        self.verifiers = {
            party.address: party for party in (Party(f"verifier {number}") for number in range(rules.verifiers))
        }
        self._challenges: dict[Address, int] = {}

    def renew(self) -> Market:
        """The same contracts, with nothing remembered of a scenario that was taken back."""
        return Market(self.chain, self.manifest, self.rules)

    # ---- Beginning

    async def begin(self) -> None:
        """Enlists the verifiers, sets the escrow's fee as the timelock would after its delay."""
        contracts = self.manifest.contracts
        await self.chain.enrich(contracts.timelock)
        rate = payment_escrow.SET_FEE.encode(self.credit, self.rules.fee_ppm)
        await self.chain.act(Act(contracts.timelock, contracts.payment_escrow, rate))
        for verifier in self.verifiers.values():
            pledge = self.rules.verifier_stake
            await self.join(verifier, pledge, stake=pledge, role=StakeRole.VERIFIER)
            await self.chain.act(Act(verifier.address, contracts.verifier_registry, verifier_registry.ENLIST.encode()))

    async def join(self, party: Party, openx: int, *, stake: int, role: StakeRole = StakeRole.PROVIDER) -> None:
        """Gives it OPENX, of which it stakes a part, and makes it a provider."""
        contracts = self.manifest.contracts
        await self.fund(party, openx)
        consent = party.node.sign_typed(
            self.manifest.registry_domain, "NodeKey", NodeKey(party.address, party.node.address, 0, FOREVER)
        )
        register = provider_registry.REGISTER.encode(party.node.address, ZERO_ADDRESS, FOREVER, consent)
        await self.chain.act(
            Act(party.address, contracts.provider_registry, register),
            *(self._approve(party, contracts.openx_token, spender) for spender in self._spenders()),
        )
        stake_all = provider_registry.STAKE_INTO.encode(party.address, int(role), stake)
        await self.chain.act(Act(party.address, contracts.provider_registry, stake_all))

    async def fund(self, party: Party, openx: int) -> None:
        """Gives it gas money and OPENX."""
        await self.chain.enrich(party.address)
        give = openx_token.TRANSFER.encode(party.address, openx)
        await self.chain.act(Act(_owner(), self.manifest.contracts.openx_token, give))

    async def open_account(self, payer: Party) -> None:
        """The escrow may take its credits."""
        await self.chain.act(self._approve(payer, self.credit, self.manifest.contracts.payment_escrow))

    # ---- Capacity

    async def verify(self, claims: Sequence[tuple[Provider, int]]) -> None:
        """Has so many GPUs of each provider challenged, drawn and confirmed by panels; `until` follows."""
        registry = self.manifest.contracts.capacity_registry
        requests = [Act(one.address, registry, capacity_registry.make_request([(GPU_CLASS, n)])) for one, n in claims]
        await self.chain.act(*requests)
        await self.chain.mine(2)
        ids = [self._next_challenge(provider) for provider, _ in claims]
        await self.chain.act(*(Act(_owner(), registry, capacity_registry.DRAW.encode(one)) for one in ids))
        await self.chain.act(*[Act(_owner(), registry, await self._judge(one)) for one in ids])
        for provider, _ in claims:
            state = await self.chain.rpc.view(registry, capacity_registry.CAPACITY_OF, provider.address)
            provider.until = state.until

    def _next_challenge(self, provider: Provider) -> Hash32:
        number = self._challenges.get(provider.address, 0) + 1
        self._challenges[provider.address] = number
        return challenge_id_of(CHAIN_ID, self.manifest.contracts.capacity_registry, provider.address, number)

    async def _judge(self, challenge_id: Hash32) -> bytes:
        """The record of a panel that agrees."""
        registry = self.manifest.contracts.capacity_registry
        challenge = await read_challenge(self.chain.rpc, registry, challenge_id)
        panel = sorted(challenge.panel)
        roots = [keccak(bytes([device])) for device in range(sum(one.count for one in challenge.declared))]
        verdicts, signatures = [], []
        for member in panel:
            verdict = Verdict(challenge_id, answers_hash_of(roots), True, keccak(member))
            verdicts.append(verdict)
            node = self.verifiers[member].node
            signatures.append(node.sign_typed(self.manifest.capacity_domain, "Verdict", verdict))
        return capacity_registry.RECORD.encode(challenge_id, roots, panel, verdicts, signatures)

    # ---- Credits

    async def mint(self, provider: Provider, amount: int) -> None:
        await self.chain.act(self.make_mint(provider, amount))
        provider.minted += amount

    def make_mint(self, provider: Provider, amount: int) -> Act:
        return Act(provider.address, self.credit, compute_credit.MINT.encode(provider.address, amount))

    async def sell(self, seller: Provider, buyer: Submitter, amount: int, price: int) -> None:
        """amount of the seller's credits for OPENX; price: OPENX base units for one whole credit."""
        cost = mul_div_down(amount, price, UNIT)
        await self.chain.act(
            Act(seller.address, self.credit, openx_token.TRANSFER.encode(buyer.address, amount)),
            Act(buyer.address, self.manifest.contracts.openx_token, openx_token.TRANSFER.encode(seller.address, cost)),
        )
        seller.sold += amount
        seller.revenue += cost
        buyer.bought += amount

    async def redeem(self, holder: Submitter, provider: Provider, amount: int) -> int:
        """What the holder got of the provider's stake."""
        before = await self.openx_of(holder)
        await self.chain.act(Act(holder.address, self.credit, compute_credit.REDEEM.encode(provider.address, amount)))
        paid = await self.openx_of(holder) - before
        provider.redeemed += amount
        provider.paid_out += paid
        holder.redeemed += amount
        holder.got_back += paid
        return paid

    # ---- Jobs

    async def run_job(self, payer: Party, provider: Provider, amount: int, nonce: int) -> None:
        """Deposits credits, reserves them for a provider and, when it has served, lets it claim them all."""
        escrow = self.manifest.contracts.payment_escrow
        terms = Escrow(payer.address, payer.node.address, provider.address, self.credit, ZERO_HASH, THAW_S, nonce)
        deposit = payment_escrow.DEPOSIT.encode(payer.address, self.credit, amount)
        reserve = payment_escrow.OPEN.encode(terms, amount)
        # Of one sender, so in order.
        await self.chain.act(Act(payer.address, escrow, deposit), Act(payer.address, escrow, reserve))
        escrow_id = await self.chain.rpc.view(escrow, payment_escrow.ESCROW_ID, terms)
        voucher = Voucher(escrow_id, Amount(amount), RECEIPTS)
        row = ClaimRow(terms, voucher, payer.node.sign_typed(self.manifest.domain, "Voucher", voucher))
        await self.chain.act(*(Act(provider.address, escrow, claim) for claim in payment_escrow.make_claims([row])))
        provider.served += amount

    # ---- Faults

    async def report_itself(self, provider: Provider, numbers: Sequence[int]) -> None:
        """For each number the provider signs two offers and proves it, as its own reporter."""
        prover = self.manifest.contracts.fault_prover
        proofs = [self._contradict(provider, number) for number in numbers]
        salt = keccak(provider.address)
        commitments = [fault_prover.make_commitment(provider.address, proof.evidence_id, salt) for proof in proofs]
        commit = fault_prover.COMMIT
        await self.chain.act(*(Act(provider.address, prover, commit.encode(one)) for one in commitments))
        await self.chain.jump_to(await self.chain.read_time() + COMMIT_DELAY_S)
        for proof in proofs:
            await self.chain.act(Act(provider.address, prover, fault_prover.make_proof(proof, salt)))

    def _contradict(self, provider: Provider, number: int) -> Equivocation:
        domain, documents = self.manifest.domain, []
        for body in (b"one", b"another"):
            values = (provider.address, provider.node.address, number, FOREVER, keccak(body))
            unsigned = NumberedDocument(domain.chain_id, domain.contract, "Offer", *values, b"")
            signature = provider.node.sign_typed(domain, "Offer", unsigned)
            documents.append(msgspec.structs.replace(unsigned, signature=signature))
        known = Known(Authors({provider.node.address: BoundKey(provider.address)}, now_s=FOREVER, thaw_s=0))
        return find_equivocations(documents, domain.separator(), known)[0]

    # ---- Looking

    async def openx_of(self, party: Party) -> int:
        token = self.manifest.contracts.openx_token
        return await self.chain.rpc.view(token, openx_token.BALANCE_OF, party.address)

    async def credits_of(self, party: Party) -> int:
        return await self.chain.rpc.view(self.credit, openx_token.BALANCE_OF, party.address)

    async def ask(self, view: View[R], provider: Provider) -> R:
        """What the credit says of one provider."""
        return await self.chain.rpc.view(self.credit, view, provider.address)

    async def wealth_of(self, provider: Provider) -> int:
        """OPENX in hand, staked and thawing. Not its forfeit, which it never gets back."""
        details = await self.chain.rpc.view(
            self.manifest.contracts.provider_registry, provider_registry.STAKE_DETAILS, provider.address
        )
        return await self.openx_of(provider) + details.staked + details.thawing

    # ---- Inside

    def _spenders(self) -> tuple[Address, ...]:
        return self.manifest.contracts.provider_registry, self.manifest.contracts.capacity_registry

    def _approve(self, party: Party, token: Address, spender: Address) -> Act:
        return Act(party.address, token, openx_token.APPROVE.encode(spender, EVERYTHING))


async def open_market(chain: Clockwork, folder: Path, rules: Rules) -> Market:
    """All contracts on a fresh chain, which is ours from then on."""
    owner = WalletKey(OWNER_KEY)
    async with trio.open_nursery() as nursery:
        journal = SqlTxJournal(make_engine(folder / "deploy.sqlite"), CHAIN_ID, owner.address)
        transactor = Transactor(chain.rpc, owner, journal, CHAIN_ID, Pace(poll_interval_s=0.02, deadline_s=60.0))
        await nursery.start(transactor.run)
        manifest = await deploy(chain.rpc, transactor, CHAIN_ID, _make_plan(rules))
        nursery.cancel_scope.cancel()
    await chain.take_over()
    market = Market(chain, manifest, rules)
    await market.begin()
    return market


def _make_plan(rules: Rules) -> Plan:
    owner = _owner()
    return Plan(
        openx=Supply(owner, Amount(10**9 * UNIT)),
        governance=Governance((owner,), (ZERO_ADDRESS,), owner, DAY_S),
        stake_thaw_s=rules.thaw_days * DAY_S,
        escrow_min_thaw_s=THAW_S,
        credits=Credits(Amount(rules.collateral), Amount(rules.collateral // 10), rules.window_hours),
        capacity=CapacityPlan(
            draw_delay_blocks=1,
            panel_size=rules.panel,
            quorum=rules.panel,
            min_panel=rules.panel,
            min_list=rules.panel,
            answer_time_s=60,
            validity_s=rules.validity_days * DAY_S,
            spot_check_pause_s=DAY_S,
            recheck_time_s=14 * DAY_S,
            leave_delay_s=DAY_S,
            fee=Amount(rules.fee),
            device_fee=Amount(rules.device_fee),
            verifier_stake=Amount(rules.verifier_stake),
        ),
        classes=CLASSES,
    )


def _owner() -> Address:
    return WalletKey(OWNER_KEY).address
