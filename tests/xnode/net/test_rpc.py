"""Calls and streams between two processes."""

from __future__ import annotations

import json
import secrets
import time

import pytest
import trio

from metering.codec import decode
from metering.refusal import Refusal
from metering.units import Address
from tests.make.waiting import wait_until
from tests.xnode.net.remote import Remote, ask, in_s, make_settings
from xnode.errors import Permanent, Retryable
from xnode.net.edge import Net, open_net
from xnode.net.identity import address_of_peer_id, key_pair_of, node_address_of, peer_id_of, peer_id_text_of
from xnode.net.intake import CALL_LIMITS
from xnode.net.wire import MAX_BODY_BYTES
from xnode.ports.net import Peer, RpcRefused

pytestmark = pytest.mark.net


async def test_handler_knows_the_callers_address(net: Net, shared_remote: Remote) -> None:
    assert await ask(net, shared_remote, "who") == net.address


async def test_two_keys_are_two_callers(net: Net, shared_remote: Remote) -> None:
    async with open_net(make_settings(), time.time_ns) as other:
        assert await ask(other, shared_remote, "who") == other.address
        assert await ask(net, shared_remote, "who") == net.address
        assert other.address != net.address


async def test_impostor_at_the_address_is_not_called(net: Net, shared_remote: Remote) -> None:
    victim = node_address_of(secrets.token_bytes(32))
    with pytest.raises(Retryable, match="answers as another node"):
        await ask(net, Peer(victim, shared_remote.peer.multiaddrs), "who")


def test_peer_id_and_address_are_two_spellings_of_one_key() -> None:
    secret = secrets.token_bytes(32)
    public = key_pair_of(secret).public_key.to_bytes()
    peer_id = peer_id_of(public)
    assert address_of_peer_id(peer_id) == node_address_of(secret)
    assert peer_id.to_base58() == peer_id_text_of(secret)
    assert peer_id.extract_public_key().to_bytes() == public


async def test_body_of_the_largest_size_goes_both_ways(net: Net, shared_remote: Remote) -> None:
    body = secrets.token_bytes(MAX_BODY_BYTES)
    assert await ask(net, shared_remote, "echo", body) == body


async def test_larger_body_is_not_sent(net: Net, shared_remote: Remote) -> None:
    with pytest.raises(Permanent, match="send a blob"):
        await ask(net, shared_remote, "echo", bytes(MAX_BODY_BYTES + 1))


async def test_refusal_comes_back_as_it_was_said(net: Net, shared_remote: Remote) -> None:
    with pytest.raises(RpcRefused) as caught:
        await ask(net, shared_remote, "refuse", b"no")
    assert caught.value.body == b"no"


async def test_unknown_method_is_permanent(net: Net, shared_remote: Remote) -> None:
    with pytest.raises(Permanent, match="does not know no_such_method"):
        await ask(net, shared_remote, "no_such_method")


async def test_crashing_handler_is_an_error_to_the_caller_and_nothing_to_the_node(
    net: Net, shared_remote: Remote
) -> None:
    before = json.loads(await ask(net, shared_remote, "counters"))["handler_errors"]
    with pytest.raises(Retryable, match="failed while answering crash"):
        await ask(net, shared_remote, "crash")
    assert json.loads(await ask(net, shared_remote, "counters"))["handler_errors"] == before + 1


async def test_deadline_holds_against_a_handler_that_hangs(net: Net, shared_remote: Remote) -> None:
    with trio.fail_after(5), pytest.raises(Retryable):
        await ask(net, shared_remote, "hang", within_s=0.5)


async def test_deadline_that_has_passed_fails_at_once(net: Net, shared_remote: Remote) -> None:
    with trio.fail_after(5), pytest.raises(Retryable):
        await ask(net, shared_remote, "echo", within_s=-1)


async def test_calls_reuse_a_kept_stream(net: Net, shared_remote: Remote) -> None:
    for _ in range(5):
        await ask(net, shared_remote, "echo")
    assert net.counters.kept_hits == 4


async def test_many_calls_at_once_each_get_their_own_answer(net: Net, shared_remote: Remote) -> None:
    answers: dict[int, bytes] = {}

    async def one(number: int) -> None:
        answers[number] = await ask(net, shared_remote, "echo", str(number).encode())

    async with trio.open_nursery() as nursery:
        for number in range(CALL_LIMITS.at_once_peer):
            nursery.start_soon(one, number)
    assert answers == {number: str(number).encode() for number in range(CALL_LIMITS.at_once_peer)}


async def test_more_calls_at_once_than_the_limit_are_refused_as_busy(net: Net, shared_remote: Remote) -> None:
    refusals: list[Refusal] = []

    async def one() -> None:
        try:
            await ask(net, shared_remote, "hang", within_s=3)
        except RpcRefused as refused:
            refusals.append(decode(refused.body, Refusal))
        except Retryable:
            pass

    async with trio.open_nursery() as nursery:
        for _ in range(CALL_LIMITS.at_once_peer + 3):
            nursery.start_soon(one)
    assert [each.code for each in refusals] == ["busy"] * 3
    # The node's own deadlines end its handlers a moment after ours have ended the calls.
    assert await wait_until(lambda: ask(net, shared_remote, "echo", b"again"), despite=RpcRefused) == b"again"


async def test_node_without_a_port_is_called_over_the_connection_it_opened(net: Net, shared_remote: Remote) -> None:
    async def name(caller: Address, body: bytes) -> bytes:
        return b"I am behind NAT, called by " + caller

    net.serve("name", name)
    assert net.multiaddrs() == ()
    answer = await ask(net, shared_remote, "call_back")
    assert answer == b"I am behind NAT, called by " + shared_remote.peer.address


async def test_peer_without_address_or_connection_cannot_be_reached(net: Net) -> None:
    with pytest.raises(Retryable, match="no address"):
        await ask(net, Peer(node_address_of(secrets.token_bytes(32))), "echo")


async def test_second_address_is_tried_when_the_first_is_dead(net: Net, shared_remote: Remote) -> None:
    two = Peer(shared_remote.peer.address, ("/ip4/127.0.0.1/tcp/1", *shared_remote.peer.multiaddrs))
    assert await ask(net, two, "who") == net.address


async def test_failed_dial_does_not_block_the_peer(net: Net, shared_remote: Remote) -> None:
    with pytest.raises(Retryable, match="cannot be reached"):
        await ask(net, Peer(shared_remote.peer.address, ("/ip4/127.0.0.1/tcp/1",)), "who")
    assert await ask(net, shared_remote, "who") == net.address


async def test_stream_gives_its_items_in_order_and_ends(net: Net, shared_remote: Remote) -> None:
    async with net.stream(shared_remote.peer, "count", b"200") as items:
        assert [int(item) async for item in items] == list(range(200))


async def test_stream_that_is_left_early_stops_its_handler(net: Net, shared_remote: Remote) -> None:
    async with net.stream(shared_remote.peer, "flood", b"1000") as items:
        async for _ in items:
            break
    assert await ask(net, shared_remote, "echo", b"still") == b"still"


async def test_stream_handler_that_crashes_is_retryable_at_the_reader(net: Net, shared_remote: Remote) -> None:
    got = []
    with pytest.raises(Retryable):
        async with net.stream(shared_remote.peer, "break_off", b"") as items:
            async for item in items:
                got.append(item)
    assert got == [b"first"]


async def test_unknown_stream_method_is_permanent(net: Net, shared_remote: Remote) -> None:
    with pytest.raises(Permanent):
        async with net.stream(shared_remote.peer, "no_such_stream", b"") as items:
            async for _ in items:
                pass


async def test_reader_that_pauses_is_not_cut_off(net: Net, shared_remote: Remote) -> None:
    # libp2p itself gives a paused reader 5 seconds. The writer fills every buffer on the way long before that.
    async with net.stream(shared_remote.peer, "flood", str(200_000).encode()) as items:
        await anext(items)
        await trio.sleep(6)
        for _ in range(60):
            assert len(await anext(items)) == 200_000


async def test_deadline_is_given_in_utc(net: Net, shared_remote: Remote) -> None:
    started = time.monotonic()
    with pytest.raises(Retryable):
        await net.call(shared_remote.peer, "hang", b"", in_s(0.3))
    assert time.monotonic() - started < 3
