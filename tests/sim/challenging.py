"""A small world for challenges: a chain, a net and a clock under the test's control; promises and workers are real."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import trio
from sqlalchemy import Engine

from metering.capacity import SignedVerdict, answers_hash_of
from metering.eip712 import Domain, keccak
from metering.units import NANOS_PER_SECOND, ZERO_HASH, Address, Hash32
from tests.make.waiting import wait_until
from xnode.capacity.product import Product
from xnode.capacity.tree import hash_leaves, make_tree
from xnode.challenge.prover import Prover
from xnode.challenge.verifier import Verifier
from xnode.errors import Permanent, Retryable
from xnode.ports.capacity import ChainHead, Challenge, DeclaredClass, Verified
from xnode.ports.net import Peer, RpcHandler, RpcRefused
from xnode.store.database import open_database
from xnode.store.promises import SqlPromises
from xnode.wallet.signer import NodeSigner, WalletKey

DOMAIN = Domain(31337, Address(b"\xca" * 20))
CHALLENGE_ID = keccak(b"a challenge")
ANSWER_TIME_S = 60

CPU = DeclaredClass(0, 2, "cpu", "cpu", 1000, 256, 20_000)


def make_node(number: int) -> tuple[Address, NodeSigner]:
    """A provider's address, and its node's signer in CapacityRegistry's domain."""
    return Address(number.to_bytes(20, "big")), NodeSigner(WalletKey(keccak(b"node %d" % number)), DOMAIN)


class PlayedClock:
    """Runs as the machine's, and jumps when the test says so."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def now_ns(self) -> int:
        return 10**18 + round(trio.current_time() * 1e9) + self.ahead_ns


@dataclass
class PlayedChain:
    """One challenge of provider 1, whose panel are providers 2, 3 and 4."""

    clock: PlayedClock
    challenge: Challenge
    head: int = 10
    recorded: list[tuple[tuple[Address, SignedVerdict], ...]] = field(default_factory=list)
    draws: int = 0
    drawn_at_once: bool = False
    is_confirmed: bool = True
    """False: a draw's transaction is mined, and never deep enough to count."""
    is_away: bool = False
    looks: int = 0
    """How often anything was read."""
    nodes: dict[Address, Address] = field(default_factory=dict)
    verified: Verified = field(default_factory=lambda: Verified(8, 1))
    misses: int = 0
    """Of every verifier."""
    shown: dict[Address, SignedVerdict] = field(default_factory=dict)

    async def wait_looks(self, count: int) -> None:
        """Returns once the nodes have looked so many times more: what they were about to do, they have done."""
        until = self.looks + count
        await wait_until(lambda: self.looks >= until)

    def _check(self) -> None:
        self.looks += 1
        if self.is_away:
            raise Retryable("the chain node is away")

    async def read_verified(self, provider: Address) -> Verified:
        self._check()
        return self.verified

    async def read_head(self) -> ChainHead:
        self._check()
        return ChainHead(self.head, self.clock.now_ns() // NANOS_PER_SECOND)

    async def list_challenges(self, first_block: int, last_block: int) -> tuple[Hash32, ...]:
        self._check()
        return (CHALLENGE_ID,)

    async def read_challenge(self, challenge_id: Hash32, *, confirmed: bool = False) -> Challenge:
        self._check()
        return self.challenge

    async def find_open(self, provider: Address) -> Hash32 | None:
        self._check()
        return CHALLENGE_ID if provider == self.challenge.provider else None

    async def list_verifiers(self) -> tuple[Address, ...]:
        return tuple(self.nodes)[1:]

    async def list_nodes(self, providers: tuple[Address, ...]) -> tuple[Address, ...]:
        return tuple(self.nodes[provider] for provider in providers)

    async def draw(self, challenge_id: Hash32, *, at_once: bool = False) -> None:
        self.draws += 1
        self.drawn_at_once |= at_once
        self.draw_now()
        if not self.is_confirmed:
            await trio.sleep_forever()

    def draw_now(self, seed: Hash32 = keccak(b"seed")) -> None:
        """As the contract's draw."""
        deadline = self.clock.now_ns() // NANOS_PER_SECOND + ANSWER_TIME_S
        self.challenge = replace(
            self.challenge,
            stage="drawn",
            seed=seed,
            deadline=deadline,
            drawn_at=deadline - ANSWER_TIME_S,
            panel=tuple(sorted(self.nodes)[1:]),
            quorum=3,
        )

    async def record(
        self, challenge_id: Hash32, roots: tuple[Hash32, ...], verdicts: tuple[tuple[Address, SignedVerdict], ...]
    ) -> None:
        if self.challenge.stage != "drawn":
            return
        verdict = verdicts[0][1].verdict
        assert not verdict.passed or answers_hash_of(roots) == verdict.answers_hash
        self.recorded.append(verdicts)
        self.challenge = replace(self.challenge, stage="passed" if verdicts[0][1].verdict.passed else "failed")

    async def count_misses(self, verifier: Address) -> int:
        return self.misses

    async def show(self, challenge_id: Hash32, verifier: Address, verdict: SignedVerdict) -> None:
        self.shown[verifier] = verdict


@dataclass
class PlayedNet:
    """Calls go straight to the other's handler, as `me`."""

    served: dict[Address, dict[str, RpcHandler]]
    me: Address
    calls: list[str] = field(default_factory=list)

    async def call(self, peer: Peer, method: str, body: bytes, deadline_ns: int) -> bytes:
        await trio.lowlevel.checkpoint()
        self.calls.append(method)
        if method not in self.served.get(peer.address, {}):
            raise Retryable("cannot be reached")
        return await self.served[peer.address][method](self.me, body)


@dataclass
class World:
    """A challenge among four nodes. Provider 1 is challenged; the rest are its panel."""

    folder: Path
    clock: PlayedClock
    chain: PlayedChain
    served: dict[Address, dict[str, RpcHandler]]
    databases: dict[Address, Engine]
    calls: list[str] = field(default_factory=list)
    """Methods that verifiers have called."""

    @classmethod
    def make(cls, folder: Path, declared: tuple[DeclaredClass, ...] = (CPU,)) -> World:
        clock = PlayedClock()
        nodes = dict((make_node(number)[0], make_node(number)[1].address) for number in (1, 2, 3, 4))
        challenge = Challenge(CHALLENGE_ID, make_node(1)[0], "requested", 5, 0, ZERO_HASH, (), 0, declared)
        return cls(folder, clock, PlayedChain(clock, challenge, nodes=nodes), {}, {})

    def promises(self, number: int) -> SqlPromises:
        """The node's promises, which outlive its lives."""
        owner, _ = make_node(number)
        if owner not in self.databases:
            self.databases[owner] = open_database(f"sqlite:///{self.folder}/{number}.db")
        return SqlPromises(self.databases[owner])

    def make_prover(self, number: int = 1) -> Prover:
        """A life of the challenged node, or the same part of another."""
        _, signer = make_node(number)
        prover = Prover(self.chain, self.promises(number), signer)
        self.served.setdefault(signer.address, {}).update(prover.methods())
        return prover

    def make_verifier(self, number: int) -> Verifier:
        """A life of a member of the panel."""
        owner, signer = make_node(number)
        net: Any = PlayedNet(self.served, signer.address, self.calls)
        promises = self.promises(number)
        verifier = Verifier(owner, self.chain, net, promises, signer, self.clock, DOMAIN)
        self.served.setdefault(signer.address, {}).update(verifier.methods())
        return verifier

    async def ask(self, number: int, method: str, body: bytes) -> bytes:
        """Call the challenged node as another."""
        _, signer = make_node(number)
        return await PlayedNet(self.served, signer.address).call(Peer(make_node(1)[1].address), method, body, 0)

    def close(self) -> None:
        for engine in self.databases.values():
            engine.dispose()


@asynccontextmanager
async def running(*actions: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """These run meanwhile, and are cut off at the end: as kill -9 would, but for what a shield holds."""
    async with trio.open_nursery() as nursery:
        for action in actions:
            nursery.start_soon(_until_done, action)
        yield
        nursery.cancel_scope.cancel()


async def _until_done(action: Callable[[], Awaitable[None]]) -> None:
    await action()


def read_code(refused: RpcRefused) -> str:
    """The code of a refusal."""
    from metering.codec import decode
    from metering.refusal import Refusal

    return decode(refused.body, Refusal).code


def make_entropy() -> Hash32:
    """Some entropy."""
    return Hash32(os.urandom(32))


class Liar:
    """Takes the place of Products: computes here, and says what `lie` makes of the products."""

    def __init__(self, lie: Callable[[dict[int, Any]], dict[int, Any]]) -> None:
        self._lie = lie

    @asynccontextmanager
    async def open(self, tasks: Any, tell_share: Any = None) -> AsyncIterator[Any]:
        from xnode.capacity.product import make_product

        self.tasks = {task.device: task for task in tasks}
        self._products = self._lie({task.device: make_product(task.seed, task.n) for task in tasks})
        yield self

    async def wait_roots(self, devices: Any) -> tuple[Hash32, ...]:
        return tuple(self._products[device].root for device in devices)

    async def multiply_vector(self, device: int, vector_seed: Hash32) -> bytes:
        from xnode.capacity.challenge import make_vector

        found = self._products[device]
        return bytes(found.multiply_vector(make_vector(vector_seed, device, found.n)))

    async def open_row(self, device: int, row: int) -> Any:
        return self._products[device].open_row(row)


def fail(reason: str) -> Any:
    """An opener of products that fails."""

    @asynccontextmanager
    async def open_nothing(tasks: Any, tell_share: Any = None) -> AsyncIterator[Any]:
        raise Permanent(reason)
        yield

    return open_nothing


def judges(world: World) -> list[Any]:
    """What each member of the panel does."""
    return [partial(world.make_verifier(number).take_up, CHALLENGE_ID) for number in (2, 3, 4)]


def prove(world: World) -> Any:
    """What the challenged node does."""
    return partial(world.make_prover().take_up, CHALLENGE_ID)


def change_element(products: dict[int, Product]) -> dict[int, Product]:
    """One wrong element in each row of device 1."""
    found = products[1]
    elements = found.elements.copy()
    elements[:, 7] += 1
    products[1] = Product(found.n, elements, make_tree(hash_leaves(0, elements.tobytes())))
    return products


async def wait_promise(world: World, number: int, kind: str, subject: bytes = CHALLENGE_ID) -> bytes:
    """What the node has promised, once it has."""
    found = await wait_until(lambda: world.promises(number).find(kind, subject))
    assert found is not None
    return found
