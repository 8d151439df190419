"""Book: this node's replica of the market's offers, kept fresh beside its readers, with the round trip to each node.

Every node is asked by a task of its own, with a deadline and pauses of its own, so that one that is silent holds up nobody:
a reader takes what is known, and sees how old it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import structlog
import trio

from metering.codec import decode_strict
from metering.units import NANOS_PER_MS, NANOS_PER_SECOND, Address, Hash32
from scheduler.book import Book
from scheduler.latency import Latency, next_latency
from scheduler.offer import SignedOffer
from xnode.backoff import Backoff
from xnode.errors import Permanent, Retryable
from xnode.net.records import NodeRecord, read_record
from xnode.node.message import OFFER_GET
from xnode.peers.answer import read_refusal
from xnode.peers.registrations import Registrations
from xnode.ports.clock import Clock
from xnode.ports.net import Net, Peer, RpcRefused
from xnode.repeated_event import RepeatedEvent

FRESH_NS = 30 * NANOS_PER_SECOND
"""While the book is read, no node that answers is asked less often; the lease answer is the only truth anyway."""

WATCHED_NS = 60 * NANOS_PER_SECOND
"""So long after the last search or listing (and after the start) the book is kept fresh."""

REST_NS = 300 * NANOS_PER_SECOND
"""How often a node whose book is not read looks around; each look costs every provider two requests and the DHT a search."""

FIRST_LOOKS = Backoff(first_s=0.5, most_s=8.0)
"""Between looks of a node that knows no offers yet, from its start or since somebody asked for them. Each searches the DHT by
every key of providers: one after the other they keep a quarter of a processor busy."""

LOOK_S = 25.0
"""The longest that one look for nodes may take, the DHT and silent peers included; nobody waits for it."""

MAX_LOOKS = 3
"""Looks at once: the first offers are looked for again while an earlier look still waits for a silent peer."""

FIRST_WAIT_S = 3.0
"""The longest that a reader of an empty book waits for a first offer."""

SETTLE_S = 0.3
"""How long it then waits for the others that answer as quickly: the first to answer need not be the best."""

NO_OFFER = frozenset({"not_a_provider", "draining"})
"""What a node says that has taken its offer back."""

ASK_NS = 4 * NANOS_PER_SECOND
"""How long one node may take to hand out its offer."""

RECORD_S = 6.0
"""How long the record of a node that could not be asked may be looked for."""

PAUSES = Backoff(first_s=15.0, most_s=60.0)
"""Between tries to ask a node that does not answer. One that is gone is named by nobody after some minutes; one that is back
should not be missed for longer than this."""

MAX_DOUBLINGS = 10
"""After so many the pause is the longest anyway."""

MAX_ASKS = 32
"""Nodes asked at once."""

MAX_DOUBTFUL_ASKS = 8
"""Of nodes that did not answer the last time, so that they never stand in the way of those that do."""

MAX_CHECKED = 500
"""Nodes of which the chain is asked at once who owns them."""

MAX_CONTACTS = 20_000
"""Nodes that are kept in mind; the one longest out of sight goes first."""

log = structlog.get_logger()


@dataclass(slots=True)
class Contact:
    """How it goes with asking one node. heard_at_ns: when it last answered, 0 for never; failures: since then; due_ns: when
    it is asked again."""

    is_asked: bool = False
    heard_at_ns: int = 0
    failures: int = 0
    due_ns: int = 0


class LiveBook:
    """offers: the checked offers; latencies: measured round trips by node. node: our own, which is left out."""

    def __init__(self, net: Net, node: Address, clock: Clock, separator: Hash32, registrations: Registrations) -> None:
        self._net, self._node, self._clock, self._separator = net, node, clock, separator
        self._registrations = registrations
        self._contacts: dict[Address, Contact] = {}
        self._named: dict[Address, None] = {}
        self._was_named = RepeatedEvent()
        self._is_checking = False
        self._unread = 0
        self._looks = 0
        self._looked_at_ns = 0
        self._read_at_ns = clock.now_ns()
        self._was_read = RepeatedEvent()
        self._first_looks = FIRST_LOOKS.pauses()
        self._changed = RepeatedEvent()
        self._nursery: trio.Nursery | None = None
        self._slots = trio.CapacityLimiter(MAX_ASKS)
        self._doubtful_slots = trio.CapacityLimiter(MAX_DOUBTFUL_ASKS)
        self.latencies: dict[Address, Latency] = {}
        self.offers = Book(separator)

    # ------------------------------------------------------------------------------------------------------------ readers

    def touch(self) -> None:
        """Say that the book is about to be read, so that it is kept fresh; nothing is waited for."""
        self._read_at_ns = self._clock.now_ns()
        self._was_read.set()

    async def wait_first(self) -> None:
        """Returns at once when there are offers; in an empty book soon after the first came, or when it has been waited for
        long enough."""
        self.touch()
        if self.offers or self._nursery is None:
            return
        with trio.move_on_after(FIRST_WAIT_S):
            while not self.offers:
                await self._changed.wait()
            with trio.move_on_after(SETTLE_S):
                while self.count_asked():
                    await self._changed.wait()

    async def wait_answers(self) -> None:
        """Returns when every node that is asked now has answered or is late, or when it has been waited for long enough: for a
        reader to whom what is known is of no use."""
        with trio.move_on_after(FIRST_WAIT_S):
            while self._nursery is not None and not self._is_settled():
                await self._changed.wait()

    async def ask_anew(self) -> bool:
        """Ask the nodes whose offers were heard a while ago, and wait for those that answer soon: for a reader to whom none of
        the known offers is of use. False when all are fresh."""
        if self._nursery is None:
            return False
        nodes = [signed.offer.node for signed in self.offers]
        for node in nodes:
            self._take(node, self._nursery)
        asked = [one for node in nodes if (one := self._contacts.get(node)) is not None and one.is_asked]
        with trio.move_on_after(FIRST_WAIT_S):
            while any(one.is_asked for one in asked):
                await self._changed.wait()
        return bool(asked)

    def _is_settled(self) -> bool:
        is_recent = self._clock.now_ns() - self._looked_at_ns <= FRESH_NS
        is_checked = not self._named and not self._is_checking
        return is_recent and is_checked and not self._looks and not any(one.is_asked for one in self._contacts.values())

    def count_asked(self) -> int:
        """Nodes that are asked now and of which no offer is known yet."""
        return sum(one.is_asked and self.offers.get(node) is None for node, one in self._contacts.items())

    @property
    def is_looking(self) -> bool:
        """True while a first answer may still come: a look is under way, or a node was not asked to the end."""
        return self._looks > 0 or self._is_checking or bool(self._named) or self.count_asked() > 0

    @property
    def unread(self) -> str:
        """Why nodes that were named are not asked: the chain does not say who owns them; "" when it does."""
        nodes = f"{self._unread} node{'s' if self._unread > 1 else ''}"
        return f"the chain does not say who owns {nodes} that may offer something" if self._unread else ""

    def heard_at_ns(self, node: Address) -> int:
        """When the node itself last answered; 0 for never."""
        contact = self._contacts.get(node)
        return contact.heard_at_ns if contact else 0

    def is_silent(self, node: Address) -> bool:
        """True when the node could not be asked the last time."""
        contact = self._contacts.get(node)
        return contact is not None and contact.failures > 0

    def note_silence(self, node: Address) -> None:
        """Somebody else could not reach the node: it ranks behind the others until it answers again."""
        contact = self._contacts.setdefault(node, Contact())
        contact.failures = contact.failures or 1

    def note_answer(self, node: Address) -> None:
        """Somebody else has heard the node."""
        self._note_answer(self._contacts.setdefault(node, Contact()), 0.0)

    # ------------------------------------------------------------------------------------------------------------- keeping

    async def run(self) -> None:
        """Keep the book fresh while it is being read. Until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._check_named, nursery)
            try:
                while True:
                    await self._look_around(nursery)
            finally:
                self._nursery = None

    async def _look_around(self, nursery: trio.Nursery) -> None:
        was_read = self._was_read.next()
        if self._looks < MAX_LOOKS:
            self._looks += 1
            self._looked_at_ns = self._clock.now_ns()
            nursery.start_soon(self._look, nursery)
        self.offers.drop_expired(self._clock.now_ns())
        is_read = self._clock.now_ns() - self._read_at_ns <= WATCHED_NS
        if not is_read:
            with trio.move_on_after(REST_NS / NANOS_PER_SECOND):
                await was_read.wait()
        elif self.offers:
            self._first_looks = FIRST_LOOKS.pauses()
            await trio.sleep(FRESH_NS / 2 / NANOS_PER_SECOND)
        else:
            with trio.move_on_after(next(self._first_looks)) as pause:
                await was_read.wait()
            if not pause.cancelled_caught:
                self._first_looks = FIRST_LOOKS.pauses()
                since_s = (self._clock.now_ns() - self._looked_at_ns) / NANOS_PER_SECOND
                await trio.sleep(min(FIRST_LOOKS.first_s, max(0.0, FIRST_LOOKS.first_s - since_s)))

    async def _look(self, nursery: trio.Nursery) -> None:
        """One look: every node that the net names, and every one that we know, is asked beside."""
        try:
            for signed in tuple(self.offers):
                self._take(signed.offer.node, nursery)
            with trio.move_on_after(LOOK_S):
                await self._net.find_providers(self._note_named)
        except (Retryable, Permanent) as error:
            log.info("no nodes were found", reason=str(error))
        finally:
            self._looks -= 1
            self._changed.set()

    def _note_named(self, node: Address) -> None:
        if node != self._node and len(self._named) < MAX_CONTACTS:
            self._named[node] = None
            self._was_named.set()

    async def _check_named(self, nursery: trio.Nursery) -> None:
        """Ask the nodes that were named, once the chain has said that somebody owns them: a key and a record of it cost nothing,
        so that a market of providers that are none would keep us busy with dialing them."""
        while True:
            was_named = self._was_named.next()
            named, self._named = list(self._named), {}
            self._is_checking, unread = True, 0
            for start in range(0, len(named), MAX_CHECKED):
                some = named[start : start + MAX_CHECKED]
                await self._registrations.learn_owners(some)
                for node in some:
                    if self._registrations.owner_of(node) is not None:
                        self._take(node, nursery)
                unread += sum(not self._registrations.knows_owner(node) for node in some)
                if unread:
                    # The chain is away: those that come after are not known either, and are named again at the next look.
                    break
            self._is_checking = False
            if named:
                self._unread = unread
                self._changed.set()
            if not self._named:
                await was_named.wait()

    def _take(self, node: Address, nursery: trio.Nursery) -> None:
        if node == self._node:
            return
        contact = self._contacts.pop(node, None) or Contact()
        self._contacts[node] = contact
        if len(self._contacts) > MAX_CONTACTS:
            del self._contacts[next(iter(self._contacts))]
        if not contact.is_asked and contact.due_ns <= self._clock.now_ns():
            contact.is_asked = True
            nursery.start_soon(self._ask, node, contact)

    async def _ask(self, node: Address, contact: Contact) -> None:
        try:
            async with self._doubtful_slots if contact.failures else self._slots:
                answered = await self._ask_offer(node, contact)
            if not answered:
                await self._ask_others(node)
        finally:
            contact.is_asked = False
            self._changed.set()

    async def _ask_offer(self, node: Address, contact: Contact) -> bool:
        """Ask the node itself; false when it could not be asked."""
        known = self.offers.get(node)
        peer = Peer(node, known.offer.body.multiaddrs if known else ())
        try:
            # The first call may have to dial; the second one measures the way.
            await self._net.call(peer, OFFER_GET, b"", self._clock.now_ns() + ASK_NS)
            begun_ns = self._clock.now_ns()
            body = await self._net.call(peer, OFFER_GET, b"", begun_ns + ASK_NS)
        except RpcRefused as refused:
            if read_refusal(refused).code in NO_OFFER:
                self.offers.drop(node)
            self._note_answer(contact, FRESH_NS / NANOS_PER_SECOND)
            return True
        except (Retryable, Permanent):
            contact.failures += 1
            contact.due_ns = self._clock.now_ns() + _pause_ns_of(contact.failures)
            return False
        now_ns = self._clock.now_ns()
        self._note_answer(contact, FRESH_NS / 3 / NANOS_PER_SECOND)
        self.latencies[node] = next_latency(self.latencies.get(node), (now_ns - begun_ns) // 1000, now_ns)
        await self._add(node, _read_offer(body))
        return True

    def _note_answer(self, contact: Contact, pause_s: float) -> None:
        now_ns = self._clock.now_ns()
        contact.heard_at_ns, contact.failures = now_ns, 0
        contact.due_ns = now_ns + round(pause_s * NANOS_PER_SECOND)

    async def _ask_others(self, node: Address) -> None:
        """What others keep of a node that cannot be asked."""
        try:
            with trio.move_on_after(RECORD_S):
                record = await self._read_record(node)
                if record is not None:
                    await self._take_record(node, record)
        except (Retryable, Permanent) as error:
            log.debug("no record", node=f"0x{node.hex()}", reason=str(error))

    async def _read_record(self, node: Address) -> NodeRecord | None:
        data = await self._net.get_record(node)
        record = read_record(data, node, self._separator, self._clock.now_ns()) if data else None
        return record if isinstance(record, NodeRecord) else None

    async def _take_record(self, node: Address, record: NodeRecord) -> None:
        if record.body:
            await self._add(node, _read_offer(record.body))
            return
        known = self.offers.get(node)
        # An offer's number has the milliseconds in it, a record's the nanoseconds: one without an offer that was made after the
        # offer takes it back.
        if known is not None and record.number // NANOS_PER_MS > known.offer.number:
            self.offers.drop(node)

    async def _add(self, node: Address, signed: SignedOffer | None) -> None:
        if signed is None or signed.offer.node != node:
            return
        # Known first, so that no search meets an offer whose owner nobody has asked for.
        await self._registrations.learn_owners((node,))
        refusal = self.offers.add(signed, self._clock.now_ns())
        if refusal is not None and refusal.code != "offer_old":
            log.info("offer refused", node=f"0x{node.hex()}", code=refusal.code)


def _read_offer(body: bytes) -> SignedOffer | None:
    try:
        return decode_strict(body, SignedOffer)
    except ValueError:
        return None


def _pause_ns_of(failures: int) -> int:
    pauses = PAUSES.pauses()
    return round(next(islice(pauses, min(failures, MAX_DOUBLINGS) - 1, None)) * NANOS_PER_SECOND)
