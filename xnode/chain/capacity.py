"""Capacity: what CapacityRegistry says, and what a node sends to it (implements ports.capacity.CapacityChain)."""

from __future__ import annotations

from typing import get_args

import msgspec
import structlog

from metering.capacity import SignedVerdict, Verdict
from metering.units import ZERO_HASH, Address, Amount, Hash32
from xnode.chain.abi.codec import topic_of
from xnode.chain.contracts import (
    capacity_registry,
    challenge_rules,
    compute_credit,
    provider_registry,
    verifier_registry,
)
from xnode.chain.contracts.capacity_registry import Capacity, Tries
from xnode.chain.contracts.challenge_rules import CapacitySettings, ClassTimes, DeviceClass
from xnode.chain.contracts.verifier_registry import Misses, VerifierSettings
from xnode.chain.deployment.manifest import Contracts, Manifest
from xnode.chain.node.json_rpc import JsonRpc, Query, Reverted
from xnode.chain.node.questions import ask_head, ask_latest, ask_logs
from xnode.chain.send.transactor import Transactor
from xnode.chain.send.tx_journal import TxCall
from xnode.errors import Permanent
from xnode.node.credit_term import CreditTerm
from xnode.ports.capacity import ChainHead, Challenge, ChallengeStage, DeclaredClass, Verified
from xnode.text.hex import to_hex

_STAGES: tuple[ChallengeStage, ...] = get_args(ChallengeStage)

_NEWS = ("ChallengeRequested", "ChallengeDrawn")
"""Events after which a challenge is to be looked at again."""

MOST_CHECK_S = 86_400
"""Of a grace, what is left for having a challenge passed, also when the first tries lapse: a day, or half of a short grace."""

log = structlog.get_logger(__name__)


class Verification(msgspec.Struct, frozen=True):
    """All that the registries say of one provider. open_challenge: None when none is open; fees: OPENX to withdraw;
    in_doubt_until: 0 when its capacity is not in doubt."""

    capacity: Capacity
    is_jailed: bool
    open_challenge: Hash32 | None
    is_verifier: bool
    held_stake: Amount
    fees: Amount
    in_doubt_until: int
    tries: Tries
    misses: Misses


async def read_classes(rpc: JsonRpc, contracts: Contracts) -> tuple[DeviceClass, ...]:
    """Every class; its place is its class id."""
    rules = contracts.challenge_rules
    count = await rpc.view(rules, challenge_rules.CLASS_COUNT)
    return tuple(await rpc.view_each(rules, challenge_rules.CLASS_OF, [(number,) for number in range(count)]))


async def read_class_times(rpc: JsonRpc, contracts: Contracts) -> tuple[ClassTimes, ...]:
    """When each class takes new challenges."""
    rules = contracts.challenge_rules
    count = await rpc.view(rules, challenge_rules.CLASS_COUNT)
    return tuple(await rpc.view_each(rules, challenge_rules.CLASS_TIMES_OF, [(number,) for number in range(count)]))


async def read_settings(rpc: JsonRpc, contracts: Contracts) -> CapacitySettings:
    """The governed numbers of challenges now."""
    return await rpc.view(contracts.challenge_rules, challenge_rules.SETTINGS)


async def read_verifier_settings(rpc: JsonRpc, contracts: Contracts) -> VerifierSettings:
    """The governed numbers of verifiers now."""
    return await rpc.view(contracts.verifier_registry, verifier_registry.SETTINGS)


async def read_verification(rpc: JsonRpc, contracts: Contracts, provider: Address) -> Verification:
    """What the registries say of a provider now."""
    of_capacity = (
        capacity_registry.CAPACITY_OF,
        capacity_registry.IS_JAILED,
        capacity_registry.OPEN_CHALLENGE_OF,
        capacity_registry.IN_DOUBT_UNTIL,
        capacity_registry.TRIES_OF,
    )
    of_verifier = (
        verifier_registry.IS_VERIFIER,
        verifier_registry.HELD_STAKE_OF,
        verifier_registry.FEES_OF,
        verifier_registry.MISSES_OF,
    )
    queries = [Query(contracts.capacity_registry, view, (provider,)) for view in of_capacity]
    queries += [Query(contracts.verifier_registry, view, (provider,)) for view in of_verifier]
    capacity, jailed, challenge, doubt, tries, verifier, held, fees, misses = await rpc.view_all(queries)
    opened = None if challenge == ZERO_HASH else challenge
    return Verification(capacity, jailed, opened, verifier, held, fees, doubt, tries, misses)


async def read_in_force(rpc: JsonRpc, registry: Address, provider: Address, now_s: int) -> Capacity:
    """The verdict in force at this time, in doubt or not: what the provider is held to. Of zeros when there is none."""
    count = await rpc.view(registry, capacity_registry.HISTORY_LENGTH, provider)
    last = await rpc.view(registry, capacity_registry.HISTORY_OF, provider, count - 1) if count else None
    return last if last is not None and now_s < last.until else Capacity(0, 0, 0, 0, 0, 0)


async def read_challenge(rpc: JsonRpc, registry: Address, challenge_id: Hash32, block: str = "latest") -> Challenge:
    """A challenge as it was at a block; its stage is "none" when it is not found."""
    asked = (
        capacity_registry.CHALLENGE_OF,
        capacity_registry.CONDITIONS_OF,
        capacity_registry.QUORUM_OF,
        capacity_registry.DRAWN_AT,
    )
    queries = [Query(registry, view, (challenge_id,)) for view in asked]
    challenge, conditions, quorum, drawn_at = await rpc.view_all(queries, block)
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
        drawn_at=drawn_at,
    )


def find_end_by(outstanding: int, served_until_s: int, until_s: int, grace_s: int, now_s: int) -> int:
    """When leases must have ended so that a challenge can still be passed before the credits outstanding go into default; 0
    when none are, or they are in default already. until_s: of the verdict in force, which serves them as IN_FORCE says."""
    if outstanding <= 0 or is_in_default(outstanding, served_until_s, until_s, grace_s, now_s):
        return 0
    return _end_of(served_until_s, until_s) + grace_s - min(grace_s // 2, MOST_CHECK_S)


def is_in_default(outstanding: int, served_until_s: int, until_s: int, grace_s: int, now_s: int) -> bool:
    """True when credits outstanding are served no more and their grace is over; arguments as in find_end_by."""
    return outstanding > 0 and now_s > _end_of(served_until_s, until_s) + grace_s


def _end_of(served_until_s: int, until_s: int) -> int:
    return until_s if served_until_s == compute_credit.IN_FORCE else served_until_s


class CapacityClient:
    """ports.capacity.CapacityChain through one chain node and the node's key."""

    def __init__(self, rpc: JsonRpc, manifest: Manifest, transactor: Transactor) -> None:
        self._rpc, self._manifest, self._transactor = rpc, manifest, transactor
        self._address = manifest.contracts.capacity_registry
        self._registry = manifest.contracts.provider_registry
        self._verifiers = manifest.contracts.verifier_registry

    async def read_head(self) -> ChainHead:
        block = await self._rpc.ask(ask_latest())
        return ChainHead(block.number, block.timestamp)

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

    async def read_verified(self, provider: Address) -> Verified:
        now_s = (await self.read_head()).time
        capacity = await read_in_force(self._rpc, self._address, provider, now_s)
        contracts = self._manifest.contracts
        queries = [
            Query(credit, view, (provider,))
            for credit in (contracts.cpu_credit, contracts.gpu_credit)
            for view in (compute_credit.OUTSTANDING, compute_credit.SERVED_UNTIL)
        ]
        queries += [
            Query(contracts.cpu_credit, compute_credit.DEFAULT_GRACE),
            Query(self._address, capacity_registry.IN_DOUBT_UNTIL, (provider,)),
            Query(self._address, capacity_registry.IS_JAILED, (provider,)),
            Query(contracts.challenge_rules, challenge_rules.SETTINGS),
        ]
        cpu, cpu_served, gpu, gpu_served, grace_s, doubt_s, is_jailed, settings = await self._rpc.view_all(queries)
        slack_s = grace_s - min(grace_s // 2, MOST_CHECK_S)
        term = CreditTerm(
            cpu_end_by_s=find_end_by(cpu, cpu_served, capacity.until, grace_s, now_s),
            gpu_end_by_s=find_end_by(gpu, gpu_served, capacity.until, grace_s, now_s),
            # A capacity that is in doubt already ends no earlier by another check.
            longest_s=settings.recheck_time_s + slack_s if capacity.until and not doubt_s else 0,
        )
        in_default = any(
            is_in_default(owed, served, capacity.until, grace_s, now_s)
            for owed, served in ((cpu, cpu_served), (gpu, gpu_served))
        )
        return Verified(capacity.vcpus, capacity.gpus, term, doubt_s, is_jailed, in_default)

    async def list_verifiers(self) -> tuple[Address, ...]:
        return await self._rpc.view(self._verifiers, verifier_registry.VERIFIERS)

    async def list_nodes(self, providers: tuple[Address, ...]) -> tuple[Address, ...]:
        rows = [(provider,) for provider in providers]
        return tuple(await self._rpc.view_each(self._registry, provider_registry.NODE_KEY_OF, rows))

    async def draw(self, challenge_id: Hash32, *, at_once: bool = False) -> None:
        # Another intent: one that came too early in spite of all is no reason not to draw later.
        intent = f"capacity/draw/{challenge_id.hex()}" + ("/first" if at_once else "")
        data = capacity_registry.DRAW.encode(challenge_id)
        call = TxCall(self._address, data, gas_floor=capacity_registry.DRAW_GAS, is_estimated=not at_once)
        await self._send(intent, challenge_id, "requested", call)

    async def record(
        self, challenge_id: Hash32, roots: tuple[Hash32, ...], verdicts: tuple[tuple[Address, SignedVerdict], ...]
    ) -> None:
        data = capacity_registry.RECORD.encode(challenge_id, list(roots), *_unzip(verdicts))
        gas_floor = capacity_registry.RECORD_GAS + capacity_registry.ROOT_GAS * len(roots)
        call = TxCall(self._address, data, gas_floor=gas_floor + capacity_registry.VERDICT_GAS * len(verdicts))
        await self._send(f"capacity/record/{challenge_id.hex()}", challenge_id, "drawn", call)

    async def count_misses(self, verifier: Address) -> int:
        return (await self._rpc.view(self._verifiers, verifier_registry.MISSES_OF, verifier)).count

    async def show(self, challenge_id: Hash32, verifier: Address, verdict: SignedVerdict) -> None:
        data = capacity_registry.NOTE_VERDICTS.encode(challenge_id, *_unzip(((verifier, verdict),)))
        intent = f"capacity/show/{challenge_id.hex()}"
        sent = await self._transactor.send(intent, TxCall(self._address, data))
        if not sent.ok:
            raise Permanent(f"{intent} reverted in transaction {to_hex(sent.tx_hash)}", code="capacity_reverted")

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


def _unzip(verdicts: tuple[tuple[Address, SignedVerdict], ...]) -> tuple[list[Address], list[Verdict], list[bytes]]:
    """Members, verdicts and signatures, as the contract takes them."""
    signed = [one for _, one in verdicts]
    return [member for member, _ in verdicts], [one.verdict for one in signed], [one.signature for one in signed]
