"""Those who ask for quotes and never sign: without a deposit they get none, with one they keep nobody out."""

from __future__ import annotations

from collections import Counter

import pytest

from metering.codec import decode, encode
from metering.refusal import Refusal
from metering.units import NANOS_PER_SECOND
from scheduler.quote import SignedQuote, quote_digest_of
from tests.make.values import TOKEN, address_of, make_job, make_resources
from tests.sim.containers import Behaviour
from tests.sim.world import World, make_market
from xnode.node import message
from xnode.node.records import HeldQuote, KnownPayer, ProviderLease
from xnode.peers.quota import BURST_BYTES, RATE_BYTES
from xnode.ports.net import RpcRefused

SECOND = NANOS_PER_SECOND
KEYS = range(70, 74)
NEWCOMER = 90


def hoard(world: World, seconds: int, with_deposit: bool) -> None:
    """Four fresh keys ask for as much as there is, again and again. with_deposit: they may open escrows of a deposit."""
    provider = world.machines[1].provider
    assert provider is not None
    for key in KEYS:
        world.ledger.caps[world.payer, address_of(key)] = 1000 * TOKEN if with_deposit else 0

    def ask() -> None:
        machine = world.machines[1]
        station = world.network.stations[machine.address]
        for key in KEYS:
            share = world.entropy.choice((1, 2, 4, 8))
            room = make_resources(
                vcpu_milli=provider.capacity.vcpu_milli // share, memory_bytes=provider.capacity.memory_bytes // share,
                disk_bytes=provider.capacity.disk_bytes // share,
            )  # fmt: skip
            job = make_job(submitter=address_of(key), nonce=world.entropy.randbytes(16), resources=room)
            asked = encode(message.QuoteAsk(job, world.payer))
            machine.spawn(station.methods[message.QUOTE_REQUEST](address_of(key), asked))  # type: ignore[arg-type]

    for tenth in range(seconds * 10):
        world.clockwork.at(world.clockwork.now_ns + tenth * SECOND // 10, ask)


def quotes_of(world: World) -> Counter[bytes]:
    loop = world.machines[1].loop
    assert loop is not None
    return Counter(one.quote.body.submitter for one in loop.state.all(HeldQuote))


def test_who_has_no_deposit_holds_nothing() -> None:
    world = make_market()
    hoard(world, 10, with_deposit=False)
    world.run_for(12)
    assert not quotes_of(world)


@pytest.mark.parametrize("seed", range(3))
def test_four_keys_that_hold_what_they_can_keep_no_newcomer_from_a_job(seed: int) -> None:
    world = make_market(seed)
    world.add_submitter(NEWCOMER)
    hoard(world, 60, with_deposit=True)
    world.run_for(5)
    assert set(quotes_of(world)) == {address_of(key) for key in KEYS}
    begun_ns = world.clockwork.now_ns
    job = world.submit(NEWCOMER, behaviour=Behaviour(run_ns=10 * SECOND))
    world.run_until(lambda: bool(world.guard.starts), 10)
    assert world.clockwork.now_ns - begun_ns < 10 * SECOND
    world.run_until_settled()
    assert world.job(job, NEWCOMER).end_reason == "completed"


def test_who_has_paid_is_known_from_then_on_and_across_a_restart() -> None:
    world = make_market()
    world.submit(behaviour=Behaviour(run_ns=5 * SECOND))
    world.run_until_settled()
    world.machines[1].crash()
    world.run_for(10)
    loop = world.machines[1].loop
    assert loop is not None and [one.payer for one in loop.state.all(KnownPayer)] == [world.payer]


@pytest.mark.parametrize("seed", range(4))
def test_of_many_who_want_the_last_place_one_has_it_and_the_others_wait(seed: int) -> None:
    world = World(seed)
    room = make_resources(vcpu_milli=1000, memory_bytes=1 << 30, disk_bytes=10 << 30)
    world.add_provider(1, capacity=room)
    numbers = (0, NEWCOMER, NEWCOMER + 1)
    for number in numbers:
        world.add_submitter(number)
    world.run_for(1)
    jobs = [
        (world.submit(number, behaviour=Behaviour(run_ns=5 * SECOND), resources=room), number) for number in numbers
    ]

    def count_held() -> int:
        leases = (one for one in world.leases(1) if isinstance(one, ProviderLease))
        return sum(one.status in ("requested", "preparing", "launching", "running", "stopping") for one in leases)

    most = 0
    for _ in range(300):
        world.run_for(0.2)
        most = max(most, count_held())
    assert most == 1, "what is leased is leased once"
    world.run_until_settled()
    assert {world.job(job, number).end_reason for job, number in jobs} == {"completed"}


def test_large_questions_of_one_payer_do_not_fill_the_disk() -> None:
    world = make_market()
    world.ledger.caps[world.payer, address_of(KEYS[0])] = 1000 * TOKEN
    machine, given, codes = world.machines[1], [], Counter[str]()
    methods = world.network.stations[machine.address].methods

    async def ask_and_drop() -> None:
        job = make_job(submitter=address_of(KEYS[0]), nonce=world.entropy.randbytes(16), env=(("A", "x" * 60_000),))
        asked = encode(message.QuoteAsk(job, world.payer))
        try:
            quote = decode(await methods[message.QUOTE_REQUEST](address_of(KEYS[0]), asked), SignedQuote).quote
        except RpcRefused as refused:
            codes[decode(refused.body, Refusal).code] += 1
            return
        given.append(len(asked))
        digest = quote_digest_of(machine.signer.separator, quote)
        await methods[message.QUOTE_DROP](address_of(KEYS[0]), encode(message.QuoteQuery(digest)))

    for tenth in range(600):
        world.clockwork.at(world.clockwork.now_ns + tenth * SECOND // 10, lambda: machine.spawn(ask_and_drop()))  # type: ignore[arg-type]
    world.run_for(62)
    assert given and set(codes) == {"busy"}, codes
    assert sum(given) < BURST_BYTES + 60 * RATE_BYTES + 64_000
