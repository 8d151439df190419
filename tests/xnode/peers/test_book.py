"""The live book over real nodes: a silent node holds up no other, and what is known is given at once, with its age."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import trio
import trio.testing

from metering.codec import decode
from metering.refusal import Refusal
from metering.units import NANOS_PER_HOUR, NANOS_PER_MS, Address
from scheduler.policy import DRAINING
from scheduler.preferences import ExposureBound
from tests.make.scene import Registry
from tests.make.values import SEPARATOR, address_of, make_job, make_key, make_offer, sign_offer
from tests.make.waiting import pass_time, wait_until
from tests.sim.machine import KeySigner
from tests.xnode.net.remote import make_settings
from tests.xnode.peers.test_search import NoExperience
from xnode.clock import SystemClock
from xnode.net.edge import Net, open_net
from xnode.net.identity import peer_id_text_of
from xnode.net.records import NodeRecord, make_record
from xnode.node.message import OFFER_GET
from xnode.peers.book import FIRST_WAIT_S, LiveBook
from xnode.peers.publish import OfferPublisher
from xnode.peers.registrations import Registrations
from xnode.peers.search import OfferSearch
from xnode.ports.net import RpcRefused

pytestmark = pytest.mark.net

LOOPBACK = ("/ip4/127.0.0.1/tcp/0",)
READER = address_of(0)


def open_node(number: int, **changes: Any) -> Any:
    settings = make_settings(secret=make_key(number).secret, separator=SEPARATOR, **changes)
    return open_net(settings, time.time_ns)


def bootstrap_of(net: Net) -> str:
    return f"{net.multiaddrs()[0]}/p2p/{peer_id_text_of(net._settings.secret)}"


@asynccontextmanager
async def serving(number: int, bootstrap: tuple[str, ...]) -> AsyncIterator[tuple[Net, OfferPublisher]]:
    """A provider's node, as far as its offer goes."""
    async with open_node(number, bootstrap=bootstrap, listen=LOOPBACK) as net:
        publisher = OfferPublisher(net, KeySigner(make_key(number), SEPARATOR, lambda *_: None), SystemClock())
        net.serve(OFFER_GET, publisher.answer_offer)
        offer = make_offer(
            number, time.time_ns() // NANOS_PER_MS, time.time_ns() + NANOS_PER_HOUR, multiaddrs=net.multiaddrs()
        )
        await publisher.publish(sign_offer(offer, number))
        yield net, publisher


@asynccontextmanager
async def reading(bootstrap: tuple[str, ...], is_away: bool = False) -> AsyncIterator[LiveBook]:
    """The book of a fresh node."""
    clock = SystemClock()
    async with open_node(0, bootstrap=bootstrap) as net, trio.open_nursery() as nursery:
        owners = {address_of(number): address_of(1000 + number) for number in (1, 2)}
        book = LiveBook(net, READER, clock, SEPARATOR, Registrations(Registry(owners, is_away), clock))  # type: ignore[arg-type]
        nursery.start_soon(book.run)
        await wait_until(lambda: book._nursery is not None)
        yield book
        nursery.cancel_scope.cancel()


async def hang(_caller: Address, _body: bytes) -> bytes:
    await trio.sleep_forever()
    return b""


async def _say_nothing(_stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


@asynccontextmanager
async def deaf() -> AsyncIterator[str]:
    """A bootstrap peer that takes connections and says nothing at all."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, _say_nothing, 0)
        port = listeners[0].socket.getsockname()[1]
        yield f"/ip4/127.0.0.1/tcp/{port}/p2p/{peer_id_text_of(make_key(9).secret)}"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def mute() -> AsyncIterator[str]:
    """A bootstrap peer that proves who it is and then answers nothing."""
    async with open_node(9, listen=LOOPBACK) as net:
        for method in ("peers.list", "record.get", "record.put"):
            net._methods.calls[method] = hang
        yield bootstrap_of(net)


SILENT = pytest.mark.parametrize("silent", [deaf, mute], ids=["no word", "no word after noise"])


@SILENT
async def test_a_silent_bootstrap_peer_holds_up_no_reader(silent: Callable[[], Any]) -> None:
    async with open_node(8, listen=LOOPBACK) as hub, silent() as quiet:
        both = (quiet, bootstrap_of(hub))
        async with serving(1, (bootstrap_of(hub),)), reading(both) as book:
            await wait_until(lambda: address_of(1) in [one.node for one in hub._phonebook.book.walk(time.time_ns())])
            begun = trio.current_time()
            await book.wait_first()
            assert [one.offer.node for one in book.offers] == [address_of(1)]
            assert trio.current_time() - begun < FIRST_WAIT_S
            await wait_until(lambda: book.heard_at_ns(address_of(1)) > 0)
            with trio.fail_after(0.5):
                await book.wait_first()


@SILENT
async def test_a_silent_bootstrap_peer_does_not_keep_an_offer_from_being_known(silent: Callable[[], Any]) -> None:
    async with (
        open_node(8, listen=LOOPBACK) as hub,
        silent() as quiet,
        serving(1, (quiet, bootstrap_of(hub))) as (net, publisher),
    ):
        with trio.fail_after(0.5):
            await publisher.publish(publisher._own)
        await wait_until(lambda: net.address in hub._phonebook.list_nodes(), 5)


async def test_an_empty_market_is_waited_for_no_longer_than_agreed() -> None:
    async with deaf() as quiet, reading((quiet,)) as book:
        with trio.fail_after(FIRST_WAIT_S + 1):
            await book.wait_first()
        assert book.is_looking, "and it is known that the silent one may still name some"


class _Nobody:
    """A net in which nobody is found."""

    def __init__(self) -> None:
        self.looked_at: list[float] = []

    async def find_providers(self, _tell: Any) -> tuple[Address, ...]:
        self.looked_at.append(trio.current_time())
        return ()


class _TrioClock:
    def now_ns(self) -> int:
        return int(trio.current_time() * 1e9)


async def test_who_finds_nobody_looks_ever_less_often_until_somebody_asks(
    autojump_clock: trio.testing.MockClock,
) -> None:
    net, clock = _Nobody(), _TrioClock()
    async with trio.open_nursery() as nursery:
        book = LiveBook(net, READER, clock, SEPARATOR, Registrations(Registry({}, False), clock))  # type: ignore[arg-type]
        begun = trio.current_time()
        nursery.start_soon(book.run)
        await pass_time(50)
        pauses = [later - earlier for earlier, later in pairwise(net.looked_at)]
        assert net.looked_at[0] == begun and pauses[0] < 1
        assert len(pauses) < 12 and pauses == sorted(pauses)
        asked_at = trio.current_time()
        book.touch()
        await pass_time(2.1)
        assert [round(at - asked_at, 1) for at in net.looked_at if at >= asked_at] == [0.0, 0.5, 1.5]
        nursery.cancel_scope.cancel()


async def test_a_provider_that_stops_takes_its_offer_back_and_is_not_asked_for_a_quote() -> None:
    async with (
        open_node(8, listen=LOOPBACK) as hub,
        serving(2, (bootstrap_of(hub),)),
        reading((bootstrap_of(hub),)) as book,
    ):
        async with serving(1, (bootstrap_of(hub),)) as (_, publisher):
            await wait_until(lambda: len(book.offers) == 2)
            await publisher.withdraw(2.0)
        await wait_until(lambda: _look_again(book) and len(book.offers) == 1)
        assert [one.offer.node for one in book.offers] == [address_of(2)]


async def test_a_drained_provider_is_in_no_book_and_says_why_to_who_asks() -> None:
    async with (
        open_node(8, listen=LOOPBACK) as hub,
        serving(1, (bootstrap_of(hub),)) as (_, publisher),
        reading((bootstrap_of(hub),)) as book,
    ):
        await wait_until(lambda: len(book.offers) == 1)
        publisher._own = None  # as in a node that was started again, whose record from before is still about
        await publisher.withdraw(refusal=DRAINING)
        with pytest.raises(RpcRefused) as refused:
            await publisher.answer_offer(address_of(2), b"")
        assert decode(refused.value.body, Refusal).code == "draining"
        await wait_until(lambda: _look_again(book) and not book.offers)


async def test_a_provider_that_vanished_is_marked_and_known_again_when_it_is_back() -> None:
    async with open_node(8, listen=LOOPBACK) as hub, reading((bootstrap_of(hub),)) as book:
        async with serving(1, (bootstrap_of(hub),)):
            await wait_until(lambda: book.heard_at_ns(address_of(1)) > 0)
        await wait_until(lambda: _look_again(book) and book.is_silent(address_of(1)))
        assert len(book.offers) == 1, "it may be back in a moment"
        async with serving(1, (bootstrap_of(hub),)):
            await wait_until(lambda: _look_again(book) and not book.is_silent(address_of(1)))


async def test_no_job_is_refused_by_an_offer_that_its_provider_has_changed_since() -> None:
    other = Address(b"\xbb" * 20)
    async with (
        open_node(8, listen=LOOPBACK) as hub,
        serving(1, (bootstrap_of(hub),)) as (net, publisher),
        reading((bootstrap_of(hub),)) as book,
    ):
        await wait_until(lambda: len(book.offers) == 1 and not any(one.is_asked for one in book._contacts.values()))
        search = OfferSearch(book, book._registrations, NoExperience(), SystemClock(), ExposureBound())  # type: ignore[arg-type]
        job = make_job(asset=other)
        assert not (await search.search(job, ())).ranked
        now_ns = time.time_ns()
        changed = make_offer(
            1, now_ns // NANOS_PER_MS, now_ns + NANOS_PER_HOUR, multiaddrs=net.multiaddrs(), asset=other
        )
        await publisher.publish(sign_offer(changed, 1))
        assert not (await search.search(job, ())).ranked, "one that was heard a moment ago is not asked for again"
        book._contacts[address_of(1)].due_ns = 0
        (found,) = (await search.search(job, ())).ranked
        assert found.offer.offer.body.asset == other


async def test_nodes_that_nobody_has_registered_are_not_dialed() -> None:
    """A key and a record of it cost nothing: 300 of them would keep a reader busy for minutes."""
    dialed = 0

    async def count_dials(stream: trio.SocketStream) -> None:
        nonlocal dialed
        dialed += 1
        await stream.aclose()

    async with open_node(8, listen=LOOPBACK) as hub, trio.open_nursery() as nursery:
        listener, *_ = await nursery.start(partial(trio.serve_tcp, host="127.0.0.1"), count_dials, 0)
        place = (f"/ip4/127.0.0.1/tcp/{listener.socket.getsockname()[1]}",)
        for number in range(100, 400):
            record = NodeRecord(address_of(number), 1, time.time_ns() + NANOS_PER_HOUR, place, b"")
            data = make_record(record, KeySigner(make_key(number), SEPARATOR, lambda *_: None))
            assert hub._phonebook.keep(address_of(number), data) is None
        async with serving(1, (bootstrap_of(hub),)), reading((bootstrap_of(hub),)) as book:
            await wait_until(lambda: book.heard_at_ns(address_of(1)) > 0, 10)
            await wait_until(book._is_settled)
            assert [one.offer.node for one in book.offers] == [address_of(1)] and list(book._contacts) == [
                address_of(1)
            ]
        assert dialed == 0
        nursery.cancel_scope.cancel()


async def test_while_the_chain_is_away_a_reader_is_told_why_nobody_is_asked() -> None:
    async with (
        open_node(8, listen=LOOPBACK) as hub,
        serving(1, (bootstrap_of(hub),)),
        reading((bootstrap_of(hub),), is_away=True) as book,
    ):
        await wait_until(lambda: book.unread)
        assert "who owns 1 node" in book.unread and not book._contacts
        book._registrations._chain.is_away = False  # type: ignore[attr-defined]
        await wait_until(lambda: _look_again(book) and book.heard_at_ns(address_of(1)) > 0)
        assert book.unread == ""


def _look_again(book: LiveBook) -> bool:
    """Let no pause stand in the way."""
    for contact in book._contacts.values():
        contact.due_ns = 0
    if book._nursery is not None and not book._looks:
        book._looks += 1
        book._nursery.start_soon(book._look, book._nursery)
    return True
