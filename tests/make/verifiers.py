"""Verifying: three verifiers with stake and keys of their own, whose signed verdicts give a provider real capacity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metering.capacity import SignedVerdict, Verdict, answers_hash_of
from metering.eip712 import keccak
from metering.units import ZERO_HASH, Address, Amount, Hash32
from tests.make.waiting import wait_until
from xnode.chain.capacity import read_challenge, read_verification, read_verifier_settings
from xnode.chain.contracts import capacity_registry
from xnode.chain.contracts.provider_registry import STAKE_DETAILS_IN, Role
from xnode.chain.deployment.manifest import Manifest
from xnode.chain.intents.registration import register_provider
from xnode.chain.intents.session import open_session
from xnode.chain.intents.stake import add_stake
from xnode.chain.intents.verification import enlist
from xnode.chain.node.json_rpc import JsonRpc
from xnode.chain.send.transactor import Pace
from xnode.chain.send.tx_journal import make_engine
from xnode.ports.capacity import Challenge
from xnode.text.hex import to_hex
from xnode.wallet.signer import NodeSigner, WalletKey

COUNT = 3
ANYONE = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
GAS = 4_000_000
PACE = Pace(poll_interval_s=0.02, deadline_s=30.0)


@dataclass(frozen=True)
class Verifier:
    """A provider that judges: its wallet, and the node key that signs its verdicts."""

    wallet: WalletKey
    node: WalletKey


def make_verifiers() -> list[Verifier]:
    """The same three on every chain. Send their wallets money for gas and stake before they enlist."""
    return [Verifier(_make_key(f"wallet {number}"), _make_key(f"node {number}")) for number in range(COUNT)]


class Verifiers:
    """All verifiers of a devnet. rpc: of its chain."""

    def __init__(self, rpc: JsonRpc, manifest: Manifest, folder: Path) -> None:
        self._rpc, self._manifest, self._folder = rpc, manifest, folder
        self._registry = manifest.contracts.capacity_registry
        self._all = make_verifiers()

    async def enlist(self) -> None:
        """Register, stake and enlist those that are not verifiers yet, and make good what others have lost."""
        for one in self._all:
            known = await read_verification(self._rpc, self._manifest.contracts, one.wallet.address)
            if not known.is_verifier:
                await self._enlist(one)
            else:
                await self._make_good(one)

    async def draw(self, provider: Address) -> Challenge:
        """Draw the provider's open challenge."""
        challenge_id = (await read_verification(self._rpc, self._manifest.contracts, provider)).open_challenge
        assert challenge_id is not None, "no challenge is open"
        challenge = await read_challenge(self._rpc, self._registry, challenge_id)
        while int(await self._rpc.read("eth_blockNumber"), 16) <= challenge.draw_block:
            await self._rpc.write("evm_mine")
        await self._send(capacity_registry.DRAW.encode(challenge_id))
        return await read_challenge(self._rpc, self._registry, challenge_id)

    async def judge(
        self, provider: Address, passed: bool = True, roots: tuple[Hash32, ...] = (), drawn: Challenge | None = None
    ) -> dict[Address, SignedVerdict]:
        """Draw the provider's open challenge, and record what its panel says of it; the verdicts. roots: of the answers that
        pass; others when none are named. drawn: when it was drawn already."""
        challenge = drawn or await self.draw(provider)
        devices = range(sum(one.count for one in challenge.declared))
        shown = (roots or tuple(keccak(bytes([device % 256])) for device in devices)) if passed else ()
        signers = {one.wallet.address: one.node for one in self._all}
        verdicts: dict[Address, SignedVerdict] = {}
        for member in sorted(challenge.panel):
            said = Verdict(
                challenge.challenge_id, answers_hash_of(shown) if passed else ZERO_HASH, passed, keccak(member)
            )
            signature = signers[member].sign_typed(self._manifest.capacity_domain, "Verdict", said)
            verdicts[member] = SignedVerdict(said, signature)
        said_all = [one.verdict for one in verdicts.values()]
        signatures = [one.signature for one in verdicts.values()]
        members = list(verdicts)
        data = capacity_registry.RECORD.encode(challenge.challenge_id, list(shown), members, said_all, signatures)
        await self._send(data)
        return verdicts

    async def _enlist(self, one: Verifier) -> None:
        stake = (await read_verifier_settings(self._rpc, self._manifest.contracts)).verifier_stake
        engine = make_engine(self._folder / f"{one.wallet.address.hex()}.sqlite")
        url = self._rpc._url
        async with open_session(self._manifest, one.wallet, engine, rpc_url=url, pace=PACE) as session:
            deadline = await session.chain_time_s() + 600
            signer = NodeSigner(one.node, self._manifest.domain)
            consent = signer.sign_node_key(self._manifest.registry_domain, one.wallet.address, 0, deadline)
            await register_provider(session, "register", one.node.address, deadline, consent)
            await add_stake(session, "stake", stake, Role.VERIFIER)
            await enlist(session, "enlist")

    async def _make_good(self, one: Verifier) -> None:
        """Stake again what a proof has taken: tests share the chain, and a verifier whose pledge is short judges nobody."""
        due = (await read_verifier_settings(self._rpc, self._manifest.contracts)).verifier_stake
        registry = self._manifest.contracts.provider_registry
        has = await self._rpc.view(registry, STAKE_DETAILS_IN, one.wallet.address, int(Role.VERIFIER))
        if has.staked < due:
            engine = make_engine(self._folder / f"{one.wallet.address.hex()}.sqlite")
            async with open_session(self._manifest, one.wallet, engine, rpc_url=self._rpc._url, pace=PACE) as session:
                await add_stake(session, "make good", Amount(due - has.staked), Role.VERIFIER)

    async def _send(self, data: bytes) -> None:
        """A transaction to CapacityRegistry by anvil's second, unlocked account: the first is the devnet's own."""
        # Not estimated: the draw that is estimated is another one.
        call = {"from": ANYONE, "to": to_hex(self._registry), "data": to_hex(data), "gas": hex(GAS)}
        tx_hash = await self._rpc.write("eth_sendTransaction", call)
        receipt = await wait_until(lambda: self._rpc.read("eth_getTransactionReceipt", tx_hash))
        assert receipt["status"] == "0x1", f"{tx_hash} reverted"


def _make_key(name: str) -> WalletKey:
    return WalletKey(keccak(f"verifier {name}".encode()))
