"""Payer: what a wallet does with its own money on chain: deposits, openers, withdrawals, a provider's stake and name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Protocol

import msgspec
import trio
from sqlalchemy import Engine

from metering.eip712 import Domain
from metering.evidence import LeaseDocument
from metering.faults import Proof
from metering.receipt import SignedReceipt
from metering.units import U128_MAX, ZERO_ADDRESS, Address, Amount, Hash32
from xnode.chain.abi.codec import checksum_address, to_hex
from xnode.chain.contracts import (
    capacity_registry,
    compute_credit,
    fault_prover,
    openx_token,
    payment_escrow,
    provider_registry,
)
from xnode.chain.contracts.provider_registry import StakeDetails
from xnode.chain.deployment.manifest import Asset, Manifest
from xnode.chain.node.json_rpc import JsonRpc
from xnode.chain.send.transactor import Pace, Transactor
from xnode.chain.send.tx_journal import SqlTxJournal, TxCall
from xnode.errors import ExitCode, Permanent, UserError
from xnode.ports.chain import Sent
from xnode.ports.wallet import TransactionSigner

PERMIT_S = 3600
"""How long a permit is good: a stuck transaction must still find it so; it names one spender and one amount."""


class WalletSigner(TransactionSigner, Protocol):
    """A wallet's key: transactions and typed data in any domain."""

    def sign_typed(self, domain: Domain, type_name: str, value: Any) -> bytes: ...


class Balance(msgspec.Struct, frozen=True):
    """One asset of one address: in its wallet, deposited and free, and owed to it as a provider. Base units."""

    asset: Asset
    wallet: Amount
    free: Amount
    owed: Amount


class Balances(msgspec.Struct, frozen=True):
    """wei: what pays for transactions."""

    wei: int
    assets: tuple[Balance, ...]


class Registration(msgspec.Struct, frozen=True):
    """A provider as the registry knows it. node_key: None when not registered; nonce: of its next node key proof."""

    provider: Address
    node_key: Address | None
    payout: Address
    stake: StakeDetails
    nonce: int


class Payer:
    """One wallet's operations. Each names an intent; the same intent asked again is never done twice."""

    def __init__(self, rpc: JsonRpc, manifest: Manifest, key: WalletSigner, transactor: Transactor) -> None:
        self.manifest = manifest
        self._rpc, self._key, self._transactor = rpc, key, transactor
        self._escrow = manifest.contracts.payment_escrow
        self._registry = manifest.contracts.provider_registry
        self._token = manifest.contracts.openx_token

    @property
    def rpc(self) -> JsonRpc:
        """The chain node it asks."""
        return self._rpc

    @property
    def address(self) -> Address:
        """Whose money it is."""
        return self._key.address

    # ---- Paying for jobs

    async def deposit(self, intent: str, asset: Asset, amount: Amount, payer: Address | None = None) -> Sent:
        """Moves amount from this wallet to a payer's free balance (its own by default), by permit where the asset can."""
        balance = await self._rpc.view(asset.address, openx_token.BALANCE_OF, self.address)
        if balance < amount:
            raise UserError(
                f"{checksum_address(self.address)} has {balance} base units of {asset.symbol}, the deposit takes {amount}",
                where="amount",
                hint=f"get {asset.symbol} first",
                code=ExitCode.FUNDS,
            )
        payer = payer or self.address
        allowance = await self._rpc.view(asset.address, openx_token.ALLOWANCE, self.address, self._escrow)
        permit = await self._find_permit_domain(asset) if allowance < amount else None
        if permit is not None:
            data = await self._make_permit_deposit(permit, payer, asset, amount)
            return await self._send(f"{intent}/deposit", self._escrow, data)
        await self._approve(intent, asset.address, self._escrow, amount, allowance)
        data = payment_escrow.DEPOSIT.encode(payer, asset.address, amount)
        return await self._send(f"{intent}/deposit", self._escrow, data)

    async def withdraw(self, intent: str, asset: Asset, amount: Amount, to: Address | None = None) -> Sent:
        """Pays amount of this wallet's free balance out, to itself by default."""
        data = payment_escrow.WITHDRAW.encode(asset.address, amount, to or self.address)
        return await self._send(intent, self._escrow, data)

    async def approve_opener(self, intent: str, opener: Address, asset: Asset, cap: Amount) -> Sent:
        """Lets a node open escrows for up to `cap` of this wallet's free balance; it replaces the cap before."""
        return await self._send(intent, self._escrow, payment_escrow.APPROVE_OPENER.encode(opener, asset.address, cap))

    async def balances(self, address: Address) -> Balances:
        """What any address holds, in the manifest's assets."""
        held = []
        for asset in self.manifest.assets:
            wallet = await self._rpc.view(asset.address, openx_token.BALANCE_OF, address)
            free = await self._rpc.view(self._escrow, payment_escrow.FREE, address, asset.address)
            owed = await self._rpc.view(self._escrow, payment_escrow.OWED, address, asset.address)
            held.append(Balance(asset, _cap(wallet), _cap(free), _cap(owed)))
        return Balances(await self.native_balance(address), tuple(held))

    async def native_balance(self, address: Address) -> int:
        """Wei: what pays for transactions."""
        return int(await self._rpc.read("eth_getBalance", to_hex(address), "latest"), 16)

    async def send_native(self, intent: str, to: Address, wei: int) -> Sent:
        """Pays wei out, such as to a node key that has gas to pay."""
        return await self._send(intent, to, b"", wei)

    async def opener_cap(self, payer: Address, opener: Address, asset: Asset) -> Amount:
        """What an opener may still reserve of a payer's free balance."""
        return _cap(await self._rpc.view(self._escrow, payment_escrow.OPENER_CAP, payer, opener, asset.address))

    # ---- Providing

    async def provider_of(self, node_key: Address) -> Address | None:
        """The provider that a node key serves now."""
        found: Address = await self._rpc.view(self._registry, provider_registry.PROVIDER_OF, node_key)
        return None if found == ZERO_ADDRESS else found

    async def registration(self, provider: Address) -> Registration:
        """What the registry says of a provider."""
        node_key: Address = await self._rpc.view(self._registry, provider_registry.NODE_KEY_OF, provider)
        payout = await self._rpc.view(self._registry, provider_registry.PAYOUT_OF, provider)
        stake = await self._rpc.view(self._registry, provider_registry.STAKE_DETAILS, provider)
        nonce = await self._rpc.view(self._registry, provider_registry.NONCES, provider)
        details = StakeDetails(Amount(stake[0]), Amount(stake[1]), stake[2])
        return Registration(provider, None if node_key == ZERO_ADDRESS else node_key, payout, details, nonce)

    async def chain_time_s(self) -> int:
        """The latest block's time in seconds UTC, from which deadlines of signatures count."""
        block = await self._rpc.read("eth_getBlockByNumber", "latest", False)
        return int(block["timestamp"], 16)

    async def register_provider(
        self, intent: str, node_key: Address, deadline: int, node_signature: bytes, payout: Address = ZERO_ADDRESS
    ) -> Sent | None:
        """Makes this wallet a provider with that node key, or gives it that node key in place of another.

        node_signature: NodeSigner.sign_node_key with our registration's nonce. payout: zero means this wallet.
        None when it is so already and nothing had to be sent.
        """
        known = await self.registration(self.address)
        if known.node_key == node_key:
            return None
        if known.node_key is None:
            data = provider_registry.REGISTER.encode(node_key, payout, deadline, node_signature)
        else:
            data = provider_registry.ROTATE_NODE_KEY.encode(node_key, deadline, node_signature)
        return await self._send(intent, self._registry, data)

    async def set_payout(self, intent: str, payout: Address) -> Sent:
        """Where claims pay this provider from now on."""
        return await self._send(intent, self._registry, provider_registry.SET_PAYOUT.encode(payout))

    async def stake(self, intent: str, amount: Amount) -> Sent:
        """Adds OPENX to this wallet's own stake."""
        allowance = await self._rpc.view(self._token, openx_token.ALLOWANCE, self.address, self._registry)
        await self._approve(intent, self._token, self._registry, amount, allowance)
        return await self._send(f"{intent}/stake", self._registry, provider_registry.STAKE.encode(amount))

    async def start_unstake(self, intent: str, amount: Amount) -> Sent:
        """Takes OPENX out of the stake; it can be withdrawn after the stake thaw."""
        return await self._send(intent, self._registry, provider_registry.START_UNSTAKE.encode(amount))

    async def withdraw_stake(self, intent: str) -> Sent:
        """Pays what has thawed to this wallet."""
        return await self._send(intent, self._registry, provider_registry.WITHDRAW_STAKE.encode())

    async def set_profile(self, intent: str, profile_hash: Hash32) -> Sent:
        """The hash of the hardware profile that this provider advertises."""
        return await self._send(intent, self._registry, provider_registry.SET_PROFILE.encode(profile_hash))

    # ---- Credits

    async def mint(self, intent: str, credit: Asset, to: Address, amount: Amount) -> Sent:
        """Makes credits against this provider's verified capacity and stake."""
        return await self._send(intent, credit.address, compute_credit.MINT.encode(to, amount))

    async def burn_at(self, intent: str, credit: Asset, provider: Address, amount: Amount) -> Sent:
        """Gives credits of this wallet back at a provider, which owes that much less."""
        return await self._send(intent, credit.address, compute_credit.BURN_AT.encode(provider, amount))

    async def note_shortage(self, intent: str, credit: Asset, provider: Address) -> Sent:
        """Notes that a provider's capacity no longer serves what it has outstanding: its grace begins."""
        return await self._send(intent, credit.address, compute_credit.NOTE_SHORTAGE.encode(provider))

    async def redeem(self, intent: str, credit: Asset, provider: Address, amount: Amount) -> Sent:
        """Gives credits of this wallet up for a defaulted provider's stake."""
        return await self._send(intent, credit.address, compute_credit.REDEEM.encode(provider, amount))

    # ---- Capacity

    async def request_challenge(self, intent: str, claims: Sequence[tuple[int, int]], fee: Amount) -> Sent:
        """Asks for a challenge of these devices, as (class id, count), for the registry's fee."""
        contract = self.manifest.contracts.capacity_registry
        allowance = await self._rpc.view(self._token, openx_token.ALLOWANCE, self.address, contract)
        await self._approve(intent, self._token, contract, fee, allowance)
        return await self._send(f"{intent}/request", contract, capacity_registry.make_request(claims))

    async def enlist(self, intent: str) -> Sent:
        """Makes this provider a verifier."""
        return await self._send(intent, self.manifest.contracts.capacity_registry, capacity_registry.ENLIST.encode())

    async def leave_verifiers(self, intent: str) -> Sent:
        """Takes this provider off the list of verifiers."""
        return await self._send(intent, self.manifest.contracts.capacity_registry, capacity_registry.LEAVE.encode())

    async def withdraw_verifier_fees(self, intent: str) -> Sent:
        """Pays this provider's fees for verdicts to its payout."""
        data = capacity_registry.WITHDRAW_FEES.encode(self.address)
        return await self._send(intent, self.manifest.contracts.capacity_registry, data)

    # ---- Faults

    async def commit_fault(self, intent: str, commitment: Hash32) -> Sent:
        """Commits to a fault that this wallet will prove."""
        contract = self.manifest.contracts.fault_prover
        return await self._send(intent, contract, fault_prover.COMMIT.encode(commitment))

    async def prove_fault(self, intent: str, proof: Proof, salt: Hash32) -> Sent:
        """Proves a fault that this wallet committed to; the reward is its."""
        return await self._send(intent, self.manifest.contracts.fault_prover, fault_prover.make_proof(proof, salt))

    async def prove_breach(self, intent: str, document: LeaseDocument, last: SignedReceipt) -> Sent:
        """Has what both promised for a breach given back to the payer of the lease's escrow."""
        return await self._send(intent, self.manifest.contracts.fault_prover, fault_prover.make_breach(document, last))

    # ---- Being paid

    async def withdraw_owed(self, intent: str, provider: Address, asset: Asset) -> Sent:
        """Pays a provider what a failed payout left owed."""
        return await self._send(intent, self._escrow, payment_escrow.WITHDRAW_OWED.encode(provider, asset.address))

    # ---- Inside

    async def _find_permit_domain(self, asset: Asset) -> Domain | None:
        """The domain in which the asset takes permits, when it has them and we would sign in just that domain."""
        try:
            named = await self._rpc.view(asset.address, openx_token.EIP712_DOMAIN)
            domain = openx_token.make_domain(self.manifest.chain_id, asset.address, named[1], named[2])
            await self._rpc.view(asset.address, openx_token.NONCES, self.address)
            separator = await self._rpc.view(asset.address, openx_token.DOMAIN_SEPARATOR)
        except Permanent:
            return None  # an ordinary ERC-20
        return domain if separator == domain.separator() else None

    async def _make_permit_deposit(self, domain: Domain, payer: Address, asset: Asset, amount: Amount) -> bytes:
        nonce = await self._rpc.view(asset.address, openx_token.NONCES, self.address)
        deadline = await self.chain_time_s() + PERMIT_S
        permit = openx_token.Permit(self.address, self._escrow, amount, nonce, deadline)
        signature = self._key.sign_typed(domain, "Permit", permit)
        r, s, v = signature[:32], signature[32:64], signature[64]
        return payment_escrow.DEPOSIT_WITH_PERMIT.encode(payer, asset.address, amount, deadline, v, r, s)

    async def _approve(self, intent: str, token: Address, spender: Address, amount: Amount, allowance: int) -> None:
        if allowance >= amount:
            return
        if allowance:
            # Some tokens refuse to change an approval that is not zero.
            await self._send(f"{intent}/approve-zero", token, openx_token.APPROVE.encode(spender, 0))
        await self._send(f"{intent}/approve", token, openx_token.APPROVE.encode(spender, amount))

    async def _send(self, intent: str, to: Address, data: bytes, wei: int = 0) -> Sent:
        sent = await self._transactor.send(intent, TxCall(to, data, wei))
        if not sent.ok:
            raise Permanent(f"{intent} reverted in transaction {to_hex(sent.tx_hash)}", code="reverted")
        return sent


@asynccontextmanager
async def open_payer(
    manifest: Manifest, key: WalletSigner, engine: Engine, *, rpc_url: str = "", pace: Pace | None = None
) -> AsyncIterator[Payer]:
    """A payer whose transactions are watched for as long as the block runs. engine: tx_journal.make_engine of a file."""
    url = rpc_url or manifest.rpc_url
    if not url:
        raise UserError("no chain node is named", where="chain.rpc_url", hint="set it", code=ExitCode.USAGE)
    journal = SqlTxJournal(engine, manifest.chain_id, key.address)
    pace = replace(pace or Pace(), confirmations=manifest.confirmations)
    async with JsonRpc(url, manifest.chain_id) as rpc, trio.open_nursery() as nursery:
        transactor = Transactor(rpc, key, journal, manifest.chain_id, pace)
        await nursery.start(transactor.run)
        yield Payer(rpc, manifest, key, transactor)
        nursery.cancel_scope.cancel()


def _cap(value: int) -> Amount:
    return Amount(min(value, U128_MAX))
