"""CapacityRegistry: calldata, views and events of the contract that knows what a provider's hardware was seen to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import msgspec
import structlog
from eth_abi.abi import encode as abi_encode

from metering.capacity import SignedVerdict
from metering.eip712 import keccak
from metering.units import ZERO_HASH, Address, Amount, Hash32
from xnode.chain.abi.codec import Event, Function, parse_hex, to_hex
from xnode.chain.contracts import provider_registry
from xnode.chain.deployment.manifest import Manifest
from xnode.chain.node.json_rpc import JsonRpc, Reverted, View
from xnode.chain.send.transactor import Transactor
from xnode.chain.send.tx_journal import TxCall
from xnode.errors import Permanent, Retryable
from xnode.ports.capacity import ChainHead, Challenge, ChallengeStage, DeclaredClass

_CLASS = "(string,uint8,uint32,uint32,uint32)"
_VERDICT = "(bytes32,bytes32,bool,bytes32)"
_CAPACITY = "(uint32,uint32,uint64,uint64,uint64,uint64)"
_CHALLENGE = "(address,uint8,uint64,uint64,bytes32,address[],(uint16,uint16)[])"
_SETTINGS = "(uint16,uint8,uint8,uint32,uint32,uint32,uint32,uint96,uint96)"

REQUEST_CHALLENGE = Function("requestChallenge((uint16,uint16)[])", "bytes32")
SPOT_CHECK = Function("spotCheck(address)", "bytes32")
DRAW = Function("draw(bytes32)")
RECORD = Function(f"record(bytes32,address[],{_VERDICT}[],bytes[])")
LAPSE = Function("lapse(bytes32)")
ENLIST = Function("enlist()")
LEAVE = Function("leave()")
STRIKE_OFF = Function("strikeOff(address)")
WITHDRAW_FEES = Function("withdrawFees(address)", "uint256")

CHALLENGE_OF = Function("challengeOf(bytes32)", _CHALLENGE)
CONDITIONS_OF = Function("conditionsOf(bytes32)", f"{_CLASS}[]")
DEVICE_OF = Function("deviceOf(bytes32,uint32)", "address,bytes32,uint32")
QUORUM_OF = Function("quorumOf(bytes32)", "uint8")
OPEN_CHALLENGE_OF = Function("openChallengeOf(address)", "bytes32")
CAPACITY_OF = Function("capacityOf(address)", _CAPACITY)
VERIFIED_OF = Function("verifiedOf(address,uint16)", "uint16")
HISTORY_OF = Function("historyOf(address,uint256)", _CAPACITY)
HISTORY_LENGTH = Function("historyLength(address)", "uint256")
IS_JAILED = Function("isJailed(address)", "bool")
LAPSED_SINCE = Function("lapsedSince(address)", "uint64")
IS_VERIFIER = Function("isVerifier(address)", "bool")
VERIFIERS = Function("verifiers()", "address[]")
HELD_STAKE_OF = Function("heldStakeOf(address)", "uint256")
FEES_OF = Function("feesOf(address)", "uint256")
CLASS_OF = Function("classOf(uint16)", _CLASS)
CLASS_COUNT = Function("classCount()", "uint16")
SETTINGS = Function("settings()", _SETTINGS)
DOMAIN_SEPARATOR = Function("domainSeparator()", "bytes32")

CHALLENGE_REQUESTED = Event(
    "ChallengeRequested(bytes32 indexed challengeId, address indexed provider, address indexed payer, uint64 drawBlock)"
)
CHALLENGE_DRAWN = Event(
    "ChallengeDrawn(bytes32 indexed challengeId, address indexed provider, bytes32 seed, address[] panel,"
    " uint64 deadline)"
)
DRAW_ARMED_AGAIN = Event("DrawArmedAgain(bytes32 indexed challengeId, uint64 drawBlock)")

_STAGES: tuple[ChallengeStage, ...] = get_args(ChallengeStage)
_KINDS: tuple[Literal["gpu", "cpu"], ...] = ("gpu", "cpu")

HASHES_KEPT = 256
"""How many blocks back the EVM, and so a draw, can read a block's hash."""

RECORD_GAS = 250_000
VERDICT_GAS = 60_000
"""The dear case of record(): the first fee of every verifier, and a capacity that ends. Unused gas costs nothing."""

DRAW_GAS = 1_600_000
"""A panel out of the longest list of verifiers: what is estimated before the block's hash is there may be another draw."""

log = structlog.get_logger(__name__)


# ------------------------------------------------------------------------------------------------- what anyone may read


class DeviceClass(msgspec.Struct, frozen=True):
    """A class of devices as governed now; weight_milli 0: closed to new challenges."""

    class_id: int
    name: str
    kind: Literal["gpu", "cpu"]
    weight_milli: int
    n: int
    time_limit_ms: int


class Capacity(msgspec.Struct, frozen=True):
    """What is in force; *_milli: thousandths of reference units; since, until: the chain's seconds, 0 when nothing is."""

    gpus: int
    vcpus: int
    gpu_milli: int
    cpu_milli: int
    since: int
    until: int


class Settings(msgspec.Struct, frozen=True):
    """The governed numbers: ICapacityRegistry.Settings."""

    draw_delay_blocks: int
    panel_size: int
    quorum: int
    answer_time_s: int
    validity_s: int
    spot_check_pause_s: int
    leave_delay_s: int
    fee: Amount
    verifier_stake: Amount


class Verification(msgspec.Struct, frozen=True):
    """All that the registry says of one provider. open_challenge: None when none is open; fees: OPENX to withdraw."""

    capacity: Capacity
    is_jailed: bool
    open_challenge: Hash32 | None
    is_verifier: bool
    held_stake: Amount
    fees: Amount


async def read_classes(rpc: JsonRpc, registry: Address) -> tuple[DeviceClass, ...]:
    """Every class, in order of class_id."""
    count = int(await rpc.view(registry, CLASS_COUNT))
    found = await rpc.view_all([View(registry, CLASS_OF, (number,)) for number in range(count)])
    return tuple(
        DeviceClass(number, name, _KINDS[kind], weight, n, limit)
        for number, (name, kind, weight, n, limit) in enumerate(found)
    )


async def read_settings(rpc: JsonRpc, registry: Address) -> Settings:
    """The governed numbers now; fee is what a request costs."""
    delay, size, quorum, answer_s, validity_s, pause_s, leave_s, fee, stake = await rpc.view(registry, SETTINGS)
    return Settings(delay, size, quorum, answer_s, validity_s, pause_s, leave_s, Amount(fee), Amount(stake))


async def read_verification(rpc: JsonRpc, registry: Address, provider: Address) -> Verification:
    """What the registry says of a provider now."""
    asked = (CAPACITY_OF, IS_JAILED, OPEN_CHALLENGE_OF, IS_VERIFIER, HELD_STAKE_OF, FEES_OF)
    capacity, jailed, challenge, verifier, held, fees = await rpc.view_all(
        [View(registry, function, (provider,)) for function in asked]
    )
    open_challenge = None if challenge == ZERO_HASH else Hash32(challenge)
    return Verification(Capacity(*capacity), jailed, open_challenge, verifier, Amount(held), Amount(fees))


async def read_challenge(rpc: JsonRpc, registry: Address, challenge_id: Hash32, block: str = "latest") -> Challenge:
    """A challenge as it was at a block; its stage is "none" when there is no such challenge."""
    values = (CHALLENGE_OF, CONDITIONS_OF, QUORUM_OF)
    calls = [
        ("eth_call", ({"to": to_hex(registry), "data": to_hex(function.encode(challenge_id))}, block))
        for function in values
    ]
    answers = await rpc.read_batch(calls)
    challenge, conditions, quorum = (
        function.decode(parse_hex(answer))[0] for function, answer in zip(values, answers, strict=True)
    )
    provider, stage, draw_block, deadline, seed, panel, declared = challenge
    return Challenge(
        challenge_id=challenge_id,
        provider=Address(provider),
        stage=_STAGES[stage],
        draw_block=draw_block,
        deadline=deadline,
        seed=Hash32(seed),
        panel=tuple(Address(member) for member in panel),
        quorum=quorum,
        declared=tuple(
            DeclaredClass(class_id, count, name, _KINDS[kind], weight, n, limit)
            for (class_id, count), (name, kind, weight, n, limit) in zip(declared, conditions, strict=True)
        ),
    )


# ---------------------------------------------------------------------------------------------- what an owner may send


def make_request(declared: Sequence[tuple[int, int]]) -> bytes:
    """The calldata of a provider's request; declared: (class_id, count). The provider's own wallet sends it, after it has
    approved the registry for Settings.fee."""
    return REQUEST_CHALLENGE.encode(sorted(declared))


def challenge_id_of(chain_id: int, registry: Address, provider: Address, number: int) -> Hash32:
    """The id of a provider's challenge, numbered from 1."""
    return keccak(abi_encode(("uint256", "address", "address", "uint256"), (chain_id, registry, provider, number)))


# ------------------------------------------------------------------------------------------------------ what nodes need


class CapacityClient:
    """ports.CapacityChain through one chain node and the node's key."""

    def __init__(self, rpc: JsonRpc, manifest: Manifest, transactor: Transactor) -> None:
        self._rpc, self._manifest, self._transactor = rpc, manifest, transactor
        self._address = manifest.contracts.capacity_registry
        self._registry = manifest.contracts.provider_registry

    async def read_head(self) -> ChainHead:
        block = await self._rpc.read("eth_getBlockByNumber", "latest", False)
        return ChainHead(int(block["number"], 16), int(block["timestamp"], 16))

    async def read_block_time(self, number: int) -> int:
        block = await self._rpc.read("eth_getBlockByNumber", hex(number), False)
        if block is None:
            raise Retryable(f"chain node {self._rpc.where} does not show block {number} yet")
        return int(block["timestamp"], 16)

    async def list_challenges(self, first_block: int, last_block: int) -> tuple[Hash32, ...]:
        wanted = {
            "address": to_hex(self._address),
            "topics": [[to_hex(event.topic) for event in (CHALLENGE_REQUESTED, CHALLENGE_DRAWN, DRAW_ARMED_AGAIN)]],
            "fromBlock": hex(max(first_block, self._manifest.deployed_at_block)),
            "toBlock": hex(last_block),
        }
        raw = await self._rpc.read("eth_getLogs", wanted)
        return tuple(dict.fromkeys(Hash32(parse_hex(entry["topics"][1])) for entry in raw))

    async def read_challenge(self, challenge_id: Hash32, *, confirmed: bool = False) -> Challenge:
        block = "latest"
        if confirmed and self._manifest.confirmations > 1:
            head = int(await self._rpc.read("eth_blockNumber"), 16)
            block = hex(max(0, head - self._manifest.confirmations + 1))
        return await read_challenge(self._rpc, self._address, challenge_id, block)

    async def find_open(self, provider: Address) -> Hash32 | None:
        found = Hash32(await self._rpc.view(self._address, OPEN_CHALLENGE_OF, provider))
        return None if found == ZERO_HASH else found

    async def read_seed(self, challenge: Challenge) -> Hash32 | None:
        head = int(await self._rpc.read("eth_blockNumber"), 16)
        if not challenge.draw_block <= head < challenge.draw_block + HASHES_KEPT:
            return None
        block = await self._rpc.read("eth_getBlockByNumber", hex(challenge.draw_block), False)
        return keccak(parse_hex(block["hash"]) + challenge.challenge_id) if block else None

    async def read_counts(self, provider: Address) -> tuple[int, int]:
        capacity = Capacity(*await self._rpc.view(self._address, CAPACITY_OF, provider))
        return capacity.vcpus, capacity.gpus

    async def list_verifiers(self) -> tuple[Address, ...]:
        found: Any = await self._rpc.view(self._address, VERIFIERS)
        return tuple(Address(member) for member in found)

    async def list_nodes(self, providers: tuple[Address, ...]) -> tuple[Address, ...]:
        views = [View(self._registry, provider_registry.NODE_KEY_OF, (provider,)) for provider in providers]
        return tuple(Address(node) for node in await self._rpc.view_all(views))

    async def draw(self, challenge_id: Hash32) -> None:
        challenge = await self.read_challenge(challenge_id)
        # Armed again it waits for another block, and is another effect.
        intent = f"capacity/draw/{challenge_id.hex()}/{challenge.draw_block}"
        await self._send(
            intent, challenge_id, "requested", TxCall(self._address, DRAW.encode(challenge_id), 0, DRAW_GAS)
        )

    async def record(self, challenge_id: Hash32, verdicts: tuple[tuple[Address, SignedVerdict], ...]) -> None:
        rows = [
            (one.verdict.challenge_id, one.verdict.answers_hash, one.verdict.passed, one.verdict.opening_seed)
            for _, one in verdicts
        ]
        members, signatures = [member for member, _ in verdicts], [one.signature for _, one in verdicts]
        call = TxCall(
            self._address,
            RECORD.encode(challenge_id, members, rows, signatures),
            gas_floor=RECORD_GAS + VERDICT_GAS * len(verdicts),
        )
        await self._send(f"capacity/record/{challenge_id.hex()}", challenge_id, "drawn", call)

    async def _send(self, intent: str, challenge_id: Hash32, stage: ChallengeStage, call: TxCall) -> None:
        """Send what moves a challenge on from this stage; somebody else's moving it first is as good."""
        try:
            sent = await self._transactor.send(intent, call)
        except Reverted as error:
            if (await self.read_challenge(challenge_id)).stage == stage:
                raise
            log.info("somebody else was first", intent=intent, reason=str(error))
            return
        if not sent.ok and (await self.read_challenge(challenge_id)).stage == stage:
            raise Permanent(f"{intent} reverted in transaction {to_hex(sent.tx_hash)}", code="capacity_reverted")
