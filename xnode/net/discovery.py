"""Discovery: which nodes there are and where, from the DHT and from bootstrap peers asked directly; either is enough."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from random import random, sample
from typing import TypeVar

import structlog
import trio
from libp2p.peer.id import ID

from metering.refusal import Refusal
from metering.units import Address, Hash32
from xnode.backoff import Backoff
from xnode.errors import Permanent, Retryable
from xnode.net.counters import NetCounters
from xnode.net.dht import Dht
from xnode.net.directory import PEERS_LIST, RECORD_GET, RECORD_PUT, read_peers
from xnode.net.host import Host
from xnode.net.known_peers import KnownPeer
from xnode.net.multiaddr import name_peer
from xnode.net.pipe import STREAM_FAULTS
from xnode.net.record_book import RecordBook
from xnode.net.records import (
    NodeRecord,
    list_provider_keys,
    provider_key_of,
    read_record,
    select_newest,
)
from xnode.net.relay import RENEW_S, reserve
from xnode.net.rpc import Rpc
from xnode.net.standing import StandingOf, take_for_stranger
from xnode.ports.net import Peer, RpcRefused
from xnode.repeated_event import RepeatedEvent

REPUBLISH_S = 600.0
"""How often our record is put again: DHT servers come and go, and none learns what the last one knew."""

REPUT = Backoff(first_s=1.0, most_s=60.0)
"""Between tries to put our record at a place that does not take it."""

BOOTSTRAP_CHECK_S = 5.0
"""How often a bootstrap connection is looked at; a NAT'd provider is unreachable while it has none."""

RECONNECT = Backoff(first_s=1.0, most_s=60.0)
"""Between tries to reach a bootstrap peer; random, because all its nodes lose it at the same moment."""

ASK_S = 10.0
"""One bootstrap peer's time to answer."""

LIST_S = 5.0
"""One bootstrap peer's time to list the nodes it knows."""

DHT_SEARCH_S = 20.0
"""The time of one search of all provider keys; among silent servers every look-up takes its whole time."""

RECORD_S = 10.0
"""How long a record is looked for before there is none, and how long, once one has come, a newer one is waited for."""
NEWER_S = 1.0

DHT_LOOKUPS = 4
"""Provider keys looked up at once: each asks three servers at a time."""

COMPANY_CHECK_S = 1.0
"""How often a node that reaches none of its bootstrap peers looks for others that it knew."""

MAX_COMPANY = 3
"""Of those it stays with so many: each of them knows others."""

MAX_BOOTSTRAP = 16
MAX_HINTS = 5000
"""Addresses remembered from lists and look-ups: about 200 bytes each."""

log = structlog.get_logger("xnode.net.discovery")

T = TypeVar("T")


class Phonebook:
    """What outlives a restart of the host: our own record, others' records, and hints where nodes are."""

    def __init__(
        self, separator: Hash32, now_ns: Callable[[], int], standing_of: StandingOf = take_for_stranger
    ) -> None:
        self.book = RecordBook(separator, standing_of)
        self.own: bytes | None = None
        self._separator = separator
        self._now_ns = now_ns
        self._hints: dict[Address, tuple[str, ...]] = {}
        self.known: tuple[Peer, ...] = ()

    def remember(self, known: Iterable[KnownPeer]) -> None:
        """Nodes that were good before we were started; none of them has to be there still."""
        self.known = tuple(Peer(each.address, each.multiaddrs) for each in known)
        for each in known:
            if each.record:
                self.keep(each.address, each.record)

    def read(self, data: bytes, node: Address) -> NodeRecord | Refusal:
        return read_record(data, node, self._separator, self._now_ns())

    def keep(self, node: Address, data: bytes) -> Refusal | None:
        return self.book.add(node, data, self._now_ns())

    def find(self, node: Address) -> tuple[NodeRecord, bytes] | None:
        return self.book.find(node, self._now_ns())

    def list_nodes(self) -> tuple[Address, ...]:
        return tuple(record.node for record in self.book.walk(self._now_ns()))

    def hint(self, node: Address, multiaddrs: tuple[str, ...]) -> None:
        """Remember where an unsigned source says a node is. The node that answers there must still prove the address."""
        if multiaddrs:
            self._hints.pop(node, None)
            self._hints[node] = multiaddrs
            if len(self._hints) > MAX_HINTS:
                del self._hints[next(iter(self._hints))]

    def locate(self, node: Address) -> tuple[str, ...]:
        """Where a node was last known to listen; its own signed record before others' hints."""
        known = self.find(node)
        if known and known[0].multiaddrs:
            return known[0].multiaddrs
        return self._hints.get(node) or next((each.multiaddrs for each in self.known if each.address == node), ())


class _Found:
    """Nodes that are named to us, each told once."""

    def __init__(self, own: Address, tell: Callable[[Address], None] | None) -> None:
        self._own, self._tell = own, tell
        self.nodes: set[Address] = set()

    def add(self, nodes: Iterable[Address]) -> None:
        for node in nodes:
            if node != self._own and node not in self.nodes:
                self.nodes.add(node)
                if self._tell is not None:
                    self._tell(node)


class Discovery:
    """One for each host; run() keeps it connected and our record known."""

    def __init__(
        self, host: Host, rpc: Rpc, phonebook: Phonebook, bootstrap: Iterable[Peer], dht: Dht | None, own: Address
    ) -> None:
        self._host, self._rpc, self._phonebook, self._dht, self._own = host, rpc, phonebook, dht, own
        self._bootstrap = tuple(bootstrap)[:MAX_BOOTSTRAP]
        self._reserved_at: dict[str, float] = {}
        self.wants_relays = False
        self._due = RepeatedEvent()
        self._company: dict[Address, Peer] = {}

    @property
    def counters(self) -> NetCounters:
        return self._rpc.counters

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            if self._dht is not None:
                nursery.start_soon(self._keep_published, partial(self._put_in_dht, self._dht))
            for peer in self._bootstrap:
                nursery.start_soon(self._stay_connected, peer)
                nursery.start_soon(self._keep_published, partial(self._put_at, peer))
            if self._phonebook.known:
                nursery.start_soon(self._keep_company)
                nursery.start_soon(self._keep_published, self._put_at_company)

    def _hubs(self) -> tuple[Peer, ...]:
        """Whom we ask about others: the bootstrap peers, and whom we stay with in their place."""
        return (*self._bootstrap, *self._company.values())

    async def _keep_company(self) -> None:
        """While no bootstrap peer is reached, stay with nodes that we knew before."""
        pauses = RECONNECT.pauses(random)
        while True:
            await trio.sleep(COMPANY_CHECK_S)
            self._company = {node: one for node, one in self._company.items() if self._host.find_connected(node)}
            if self._company or any(self._host.find_connected(peer.address) for peer in self._bootstrap):
                for peer in self._company.values() if self.wants_relays else ():
                    await self._keep_reservation(peer)
                pauses = RECONNECT.pauses(random)
                continue
            await self._find_company()
            if not self._company:
                await trio.sleep(next(pauses))

    async def _find_company(self) -> None:
        bootstrap = {each.address for each in self._bootstrap}
        known = [one for one in self._phonebook.known if one.address not in bootstrap]
        # A few at a time, in any order: all nodes that lose a bootstrap peer lose it at the same moment.
        shuffled = sample(known, len(known))
        while shuffled and len(self._company) < MAX_COMPANY:
            asked, shuffled = shuffled[:MAX_COMPANY], shuffled[MAX_COMPANY:]
            async with trio.open_nursery() as nursery:
                for peer in asked:
                    nursery.start_soon(self._visit, peer)

    async def _visit(self, peer: Peer) -> None:
        try:
            peer_id = await self._join(peer)
            named = tuple(name_peer(each, peer_id.to_base58()) for each in peer.multiaddrs)
            self._company[peer.address] = Peer(peer.address, named)
        except Retryable as error:
            log.debug("a node of earlier is not reached", peer=f"0x{peer.address.hex()}", why=str(error))

    async def _put_at_company(self, data: bytes) -> bool:
        answers = [await self._put_at(peer, data) for peer in tuple(self._company.values())]
        return all(answers)

    async def _stay_connected(self, peer: Peer) -> None:
        pauses = RECONNECT.pauses(random)
        while True:
            if self._host.find_connected(peer.address) is None:
                # A relay drops a reservation with the connection: without a new one no node could reach us through it.
                self._reserved_at.pop(peer.multiaddrs[0], None)
                try:
                    await self._join(peer)
                    pauses = RECONNECT.pauses(random)
                except Retryable as error:
                    log.info("bootstrap peer not reached", peer=f"0x{peer.address.hex()}", why=str(error))
                    await trio.sleep(next(pauses))
                    continue
            if self.wants_relays:
                await self._keep_reservation(peer)
            await trio.sleep(BOOTSTRAP_CHECK_S)

    async def _keep_reservation(self, peer: Peer) -> None:
        where, now = peer.multiaddrs[0], trio.current_time()
        peer_id = self._host.find_connected(peer.address)
        if peer_id is None or now < self._reserved_at.get(where, -math.inf) + RENEW_S:
            return
        try:
            with trio.fail_after(ASK_S):
                await reserve(self._host.raw, peer_id)
            self._reserved_at[where] = now
        except (*STREAM_FAULTS, Retryable, trio.TooSlowError) as error:
            log.debug("bootstrap peer does not relay for us", peer=f"0x{peer.address.hex()}", why=type(error).__name__)
            self._reserved_at.pop(where, None)

    @property
    def relays(self) -> tuple[str, ...]:
        """The bootstrap peers, with /p2p, through which others reach us now."""
        return tuple(self._reserved_at)

    async def _join(self, peer: Peer) -> ID:
        peer_id = await self._host.connect(peer, trio.current_time() + ASK_S)
        if self._dht is not None:
            self._host.remember(peer_id, peer.multiaddrs)
            await self._dht.add_peer(peer_id)
        self._due.set()
        return peer_id

    async def _keep_published(self, put: Callable[[bytes], Awaitable[bool]]) -> None:
        """Keep our record at one place where it is looked for; a place that is silent holds up no other."""
        pauses = REPUT.pauses(random)
        while True:
            due = self._due.next()
            data = self._find_own()
            if data is None or await put(data):
                pauses, wait_s = REPUT.pauses(random), REPUBLISH_S
            else:
                wait_s = next(pauses)
            with trio.move_on_after(wait_s):
                await due.wait()

    def _find_own(self) -> bytes | None:
        data = self._phonebook.own
        return None if data is None or isinstance(self._phonebook.read(data, self._own), Refusal) else data

    def publish_soon(self) -> None:
        """Our record has changed."""
        self._due.set()

    async def publish(self) -> None:
        """Put our record wherever it is looked for, and return when all who could be asked were asked."""
        data = self._find_own()
        if data is None:
            return
        async with trio.open_nursery() as nursery:
            for peer in self._hubs():
                nursery.start_soon(self._put_at, peer, data)
            if self._dht is not None:
                nursery.start_soon(self._put_in_dht, self._dht, data)

    async def _put_at(self, peer: Peer, data: bytes) -> bool:
        return await self._ask(peer, RECORD_PUT, data) is not None

    async def _put_in_dht(self, dht: Dht, data: bytes) -> bool:
        await _try(dht.put(self._own, data))
        await _try(dht.provide(provider_key_of(self._own)))
        return True

    async def find_providers(self, tell: Callable[[Address], None] | None = None) -> tuple[Address, ...]:
        """Every node that claims to be a provider, except ourselves; tell: called with each as soon as it is named."""
        found = _Found(self._own, tell)
        found.add(peer.address for peer in self._phonebook.known)
        found.add(self._phonebook.list_nodes())
        async with trio.open_nursery() as nursery:
            for peer in self._hubs():
                nursery.start_soon(self._list_peers, peer, found)
            if self._dht is not None:
                nursery.start_soon(self._search_dht, self._dht, found)
        return tuple(sorted(found.nodes))

    async def _list_peers(self, peer: Peer, found: _Found) -> None:
        body = await _try(self._rpc.call(peer, PEERS_LIST, b"", trio.current_time() + LIST_S))
        try:
            listed = read_peers(body) if body else ()
        except ValueError:
            self.counters.records_refused += 1
            return
        for node, multiaddrs in listed:
            self._phonebook.hint(node, multiaddrs)
        found.add(node for node, _ in listed)

    async def _search_dht(self, dht: Dht, found: _Found) -> None:
        slots = trio.CapacityLimiter(DHT_LOOKUPS)

        async def search(key: bytes) -> None:
            async with slots:
                located = await _try(dht.find(key)) or {}
            for node, multiaddrs in located.items():
                self._phonebook.hint(node, multiaddrs)
            found.add(located)

        with trio.move_on_after(DHT_SEARCH_S):
            async with trio.open_nursery() as nursery:
                for key in list_provider_keys():
                    nursery.start_soon(search, key)

    async def get_record(self, node: Address) -> bytes | None:
        """The newest valid record that any node gives us now, or that we have."""
        answers: list[bytes] = []
        known = self._phonebook.find(node)
        if known is not None:
            answers.append(known[1])
        with trio.move_on_after(RECORD_S) as late:
            async with trio.open_nursery() as nursery:
                for peer in self._whom_to_ask(node):
                    nursery.start_soon(self._collect, self._ask(peer, RECORD_GET, node), answers, late)
                if self._dht is not None:
                    nursery.start_soon(self._collect, _try(self._dht.get(node)), answers, late)
        return self._choose(node, answers)

    def _whom_to_ask(self, node: Address) -> tuple[Peer, ...]:
        # The node itself knows best, when a connection is there already.
        itself = (Peer(node),) if self._host.find_connected(node) is not None else ()
        return itself + tuple(peer for peer in self._hubs() if peer.address != node)

    async def _collect(self, answer: Awaitable[bytes | None], into: list[bytes], late: trio.CancelScope) -> None:
        data = await answer
        if data:
            into.append(data)
            # Another may have a newer one, but a silent peer must not hold up what is known.
            late.deadline = min(late.deadline, trio.current_time() + NEWER_S)

    def _choose(self, node: Address, answers: list[bytes]) -> bytes | None:
        read = [self._phonebook.read(data, node) for data in answers]
        self.counters.records_refused += sum(isinstance(each, Refusal) for each in read)
        if all(isinstance(each, Refusal) for each in read):
            return None
        newest = answers[select_newest(read)]
        self._phonebook.keep(node, newest)
        return newest

    async def locate(self, node: Address) -> tuple[str, ...]:
        """Where a node may be dialed; asks only when we do not know."""
        if not self._phonebook.locate(node):
            await self.get_record(node)
        return self._phonebook.locate(node)

    async def _ask(self, peer: Peer, method: str, body: bytes) -> bytes | None:
        return await _try(self._rpc.call(peer, method, body, trio.current_time() + ASK_S))


async def _try(action: Awaitable[T]) -> T | None:
    """Its outcome, or None: one peer that fails or refuses must not fail the question put to many."""
    try:
        return await action
    except (Retryable, Permanent, RpcRefused) as error:
        log.debug("no answer", why=str(error))
        return None
