"""Capacity: what CapacityRegistry says, and what a node sends to it (implements ports.capacity.CapacityChain)."""

from __future__ import annotations

from typing import get_args

import msgspec
import structlog

from metering.capacity import SignedVerdict
from metering.eip712 import keccak
from metering.units import ZERO_HASH, Address, Amount, Hash32
from xnode.chain.abi.codec import topic_of
from xnode.chain.contracts import capacity_registry, provider_registry
from xnode.chain.contracts.capacity_registry import Capacity, CapacitySettings, DeviceClass
from xnode.chain.deployment.manifest import Manifest
from xnode.chain.node.json_rpc import JsonRpc, Query, Reverted
from xnode.chain.node.questions import ask_block, ask_head, ask_latest, ask_logs
from xnode.chain.send.transactor import Transactor
from xnode.chain.send.tx_journal import TxCall
from xnode.errors import Permanent, Retryable
from xnode.ports.capacity import ChainHead, Challenge, ChallengeStage, DeclaredClass
from xnode.text.hex import to_hex

_STAGES: tuple[ChallengeStage, ...] = get_args(ChallengeStage)

_NEWS = ("ChallengeRequested", "ChallengeDrawn", "DrawArmedAgain")
"""Events after which a challenge is to be looked at again."""

log = structlog.get_logger(__name__)


class Verification(msgspec.Struct, frozen=True):
    """All that the registry says of one provider. open_challenge: None when none is open; fees: OPENX to withdraw."""

    capacity: Capacity
    is_jailed: bool
    open_challenge: Hash32 | None
    is_verifier: bool
    held_stake: Amount
    fees: Amount


async def read_classes(rpc: JsonRpc, registry: Address) -> tuple[DeviceClass, ...]:
    """Every class; its place is its class id."""
    count = await rpc.view(registry, capacity_registry.CLASS_COUNT)
    return tuple(await rpc.view_each(registry, capacity_registry.CLASS_OF, [(number,) for number in range(count)]))


async def read_settings(rpc: JsonRpc, registry: Address) -> CapacitySettings:
    """The governed numbers now; fee is what a request costs."""
    return await rpc.view(registry, capacity_registry.SETTINGS)


async def read_verification(rpc: JsonRpc, registry: Address, provider: Address) -> Verification:
    """What the registry says of a provider now."""
    asked = (
        capacity_registry.CAPACITY_OF,
        capacity_registry.IS_JAILED,
        capacity_registry.OPEN_CHALLENGE_OF,
        capacity_registry.IS_VERIFIER,
        capacity_registry.HELD_STAKE_OF,
        capacity_registry.FEES_OF,
    )
    capacity, jailed, challenge, verifier, held, fees = await rpc.view_all(
        [Query(registry, view, (provider,)) for view in asked]
    )
    return Verification(capacity, jailed, None if challenge == ZERO_HASH else challenge, verifier, held, fees)


async def read_challenge(rpc: JsonRpc, registry: Address, challenge_id: Hash32, block: str = "latest") -> Challenge:
    """A challenge as it was at a block; its stage is "none" when it is not found."""
    asked = (capacity_registry.CHALLENGE_OF, capacity_registry.CONDITIONS_OF, capacity_registry.QUORUM_OF)
    queries = [Query(registry, view, (challenge_id,)) for view in asked]
    challenge, conditions, quorum = await rpc.view_all(queries, block)
    return Challenge(
        challenge_id=challenge_id,
        provider=challenge.provider,
        stage=_STAGES[challenge.stage],
        draw_block=challenge.draw_block,
        deadline=challenge.deadline,
        seed=challenge.seed,
        panel=challenge.panel,
        quorum=quorum,
        declared=tuple(
            DeclaredClass(class_id, count, one.name, one.kind, one.weight_milli, one.n, one.time_limit_ms)
            for (class_id, count), one in zip(challenge.declared, conditions, strict=True)
        ),
    )


class CapacityClient:
    """ports.capacity.CapacityChain through one chain node and the node's key."""

    def __init__(self, rpc: JsonRpc, manifest: Manifest, transactor: Transactor) -> None:
        self._rpc, self._manifest, self._transactor = rpc, manifest, transactor
        self._address = manifest.contracts.capacity_registry
        self._registry = manifest.contracts.provider_registry

    async def read_head(self) -> ChainHead:
        block = await self._rpc.ask(ask_latest())
        return ChainHead(block.number, block.timestamp)

    async def read_block_time(self, number: int) -> int:
        block = await self._rpc.ask(ask_block(number))
        if block is None:
            raise Retryable(f"chain node {self._rpc.where} does not show block {number} yet")
        return block.timestamp

    async def list_challenges(self, first_block: int, last_block: int) -> tuple[Hash32, ...]:
        topics = tuple(topic_of("CapacityRegistry", name) for name in _NEWS)
        first = max(first_block, self._manifest.deployed_at_block)
        logs = await self._rpc.ask(ask_logs((self._address,), (topics, None), first, last_block))
        return tuple(dict.fromkeys(log.topics[1] for log in logs))

    async def read_challenge(self, challenge_id: Hash32, *, confirmed: bool = False) -> Challenge:
        block = "latest"
        if confirmed and self._manifest.confirmations > 1:
            head = await self._rpc.ask(ask_head())
            block = hex(max(0, head - self._manifest.confirmations + 1))
        return await read_challenge(self._rpc, self._address, challenge_id, block)

    async def find_open(self, provider: Address) -> Hash32 | None:
        found = await self._rpc.view(self._address, capacity_registry.OPEN_CHALLENGE_OF, provider)
        return None if found == ZERO_HASH else found

    async def read_seed(self, challenge: Challenge) -> Hash32 | None:
        head = await self._rpc.ask(ask_head())
        if not challenge.draw_block <= head < challenge.draw_block + capacity_registry.HASHES_KEPT:
            return None
        block = await self._rpc.ask(ask_block(challenge.draw_block))
        return keccak(block.hash + challenge.challenge_id) if block else None

    async def read_counts(self, provider: Address) -> tuple[int, int]:
        capacity = await self._rpc.view(self._address, capacity_registry.CAPACITY_OF, provider)
        return capacity.vcpus, capacity.gpus

    async def list_verifiers(self) -> tuple[Address, ...]:
        return await self._rpc.view(self._address, capacity_registry.VERIFIERS)

    async def list_nodes(self, providers: tuple[Address, ...]) -> tuple[Address, ...]:
        rows = [(provider,) for provider in providers]
        return tuple(await self._rpc.view_each(self._registry, provider_registry.NODE_KEY_OF, rows))

    async def draw(self, challenge_id: Hash32) -> None:
        challenge = await self.read_challenge(challenge_id)
        # Armed again it waits for another block, and is another effect.
        intent = f"capacity/draw/{challenge_id.hex()}/{challenge.draw_block}"
        data = capacity_registry.DRAW.encode(challenge_id)
        call = TxCall(self._address, data, gas_floor=capacity_registry.DRAW_GAS)
        await self._send(intent, challenge_id, "requested", call)

    async def record(self, challenge_id: Hash32, verdicts: tuple[tuple[Address, SignedVerdict], ...]) -> None:
        members, signed = [member for member, _ in verdicts], [one for _, one in verdicts]
        data = capacity_registry.RECORD.encode(
            challenge_id, members, [one.verdict for one in signed], [one.signature for one in signed]
        )
        gas_floor = capacity_registry.RECORD_GAS + capacity_registry.VERDICT_GAS * len(verdicts)
        call = TxCall(self._address, data, gas_floor=gas_floor)
        await self._send(f"capacity/record/{challenge_id.hex()}", challenge_id, "drawn", call)

    async def _send(self, intent: str, challenge_id: Hash32, stage: ChallengeStage, call: TxCall) -> None:
        """Send what moves a challenge on from this stage; another party's moving it first is as good."""
        try:
            sent = await self._transactor.send(intent, call)
        except Reverted as error:
            if (await self.read_challenge(challenge_id)).stage == stage:
                raise
            log.info("another party was first", intent=intent, reason=str(error))
            return
        if not sent.ok and (await self.read_challenge(challenge_id)).stage == stage:
            raise Permanent(f"{intent} reverted in transaction {to_hex(sent.tx_hash)}", code="capacity_reverted")
