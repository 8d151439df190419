"""Whom we work with, as the net is told, and which nodes are kept for the next start."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from metering.units import Address
from tests.make.records import TERMS, make_running_lease, make_submitter_lease
from tests.make.scene import GPU_NODE, LIAR, STRANGER, Registry, open_consoles
from tests.make.values import NOW_NS, address_of
from tests.xnode.net.remote import make_settings
from tests.xnode.peers.test_registrations import Hand
from xnode.net.edge import Net
from xnode.net.known_peers import read_known_peers
from xnode.net.standing import Standing
from xnode.node.records import Record
from xnode.node.state import State, make_state
from xnode.peers.known import REFRESH_NS, KnownPeerKeeper
from xnode.peers.partners import AFTER_NS, FRESH_NS, Partners
from xnode.peers.registrations import Registrations

NODE, BUYER = TERMS.node, TERMS.submitter


@dataclass
class Records:
    """Stands where the loop does."""

    state: State


def make_partners(*records: Record) -> tuple[Partners, Records, Hand]:
    loop, clock = Records(make_state(records)), Hand()
    registrations = Registrations(Registry({}), clock)  # type: ignore[arg-type]
    return Partners(loop, clock, registrations), loop, clock  # type: ignore[arg-type]


def test_both_sides_of_a_lease_are_partners_of_each_other() -> None:
    sold, _, _ = make_partners(make_running_lease())
    assert sold.standing_of(BUYER) is Standing.PARTNER and sold.standing_of(address_of(77)) is Standing.STRANGER
    bought, _, _ = make_partners(make_submitter_lease(status="running"))
    assert bought.standing_of(NODE) is Standing.PARTNER


def test_a_lease_that_is_only_asked_for_makes_no_partner() -> None:
    for status in ("requested", "refused"):
        assert make_partners(make_running_lease(status=status))[0].standing_of(BUYER) is Standing.STRANGER


def test_a_lease_counts_for_a_while_after_its_end_and_no_longer() -> None:
    for age_ns, standing in ((AFTER_NS - 1, Standing.PARTNER), (AFTER_NS, Standing.STRANGER)):
        partners, _, _ = make_partners(make_running_lease(status="settled", ended_at_ns=NOW_NS - age_ns))
        assert partners.standing_of(BUYER) is standing


def test_a_new_lease_is_known_in_a_moment() -> None:
    partners, loop, clock = make_partners()
    assert partners.standing_of(BUYER) is Standing.STRANGER
    loop.state = make_state((make_running_lease(),))
    clock.at_ns += FRESH_NS
    assert partners.standing_of(BUYER) is Standing.PARTNER


async def test_a_node_that_the_chain_knows_is_more_than_a_stranger() -> None:
    clock = Hand()
    registrations = Registrations(Registry({address_of(5): address_of(6)}), clock)  # type: ignore[arg-type]
    partners = Partners(Records(make_state(())), clock, registrations)  # type: ignore[arg-type]
    assert partners.standing_of(address_of(5)) is Standing.STRANGER, "nothing is waited for"
    await registrations.learn_owner(address_of(5))
    assert partners.standing_of(address_of(5)) is Standing.REGISTERED


class Places(Net):
    """A net that knows where everybody is."""

    def locate_known(self, node: Address) -> tuple[tuple[str, ...], bytes]:
        return ("/ip4/10.0.0.1/tcp/4001",), node


async def test_nodes_that_answered_and_are_registered_are_kept_and_no_others(tmp_path: Path) -> None:
    file, net = tmp_path / "peers.json", Places(make_settings(), time.time_ns)
    async with open_consoles(tmp_path) as (submitter, _):
        market: Any = submitter.market
        nodes = [signed.offer.node for signed in market.book.offers]
        await market.registrations.learn_owners(nodes)
        keeper = KnownPeerKeeper(net, market, submitter.clock, file)
        for node in nodes:
            market.book.note_answer(node)
        market.book.note_silence(address_of(LIAR))
        await keeper.keep()
        kept = read_known_peers(file, submitter.clock.now_ns())
        assert {each.address for each in kept} == set(nodes) - {address_of(STRANGER), address_of(LIAR)}
        assert address_of(GPU_NODE) in {each.address for each in kept} and all(each.record for each in kept)


async def test_a_file_is_not_written_for_the_time_alone(tmp_path: Path) -> None:
    file, net = tmp_path / "peers.json", Places(make_settings(), time.time_ns)
    async with open_consoles(tmp_path) as (submitter, _):
        market: Any = submitter.market
        await market.registrations.learn_owners([address_of(GPU_NODE)])
        market.book.note_answer(address_of(GPU_NODE))
        keeper = KnownPeerKeeper(net, market, submitter.clock, file)
        await keeper.keep()
        file.unlink()
        await keeper.keep()
        assert not file.exists()
        keeper._kept = tuple(
            msgspec.structs.replace(each, heard_at_ns=each.heard_at_ns - 2 * REFRESH_NS) for each in keeper._kept
        )
        await keeper.keep()
        assert file.exists()
