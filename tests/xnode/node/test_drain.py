"""A drained provider: nothing new is taken, what runs goes on, and a restart changes nothing of it."""

from __future__ import annotations

from metering.units import NANOS_PER_SECOND
from tests.make.records import LEASE_ID, Node, make_provider, make_provider_lease, make_running_lease
from tests.make.values import NOW_NS, SEPARATOR, address_of, make_job
from tests.xnode.node.test_provider_lease import make_request
from xnode.node import changes, effects
from xnode.node.provider.drain import START_NS, ends_by, list_running
from xnode.node.records import HeldQuote, ProviderLease

SUBMITTER = address_of(0)
ON, OFF = changes.DrainSet("drain", is_on=True), changes.DrainSet("resume", is_on=False)
ASK = changes.QuoteRequested("ask", SUBMITTER, make_job())


def kinds(found: list[effects.Effect]) -> list[str]:
    return [type(one).__name__ for one in found]


def start(node: Node) -> list[effects.Effect]:
    settings = node.state.settings
    return node.tell(changes.NodeStarted(settings.node, SEPARATOR, "test", ("/memory/1",), settings.provider, None))


def test_a_drained_provider_takes_its_offer_back_and_refuses_with_the_true_reason() -> None:
    node = make_provider()
    start(node)
    reply, withdrawn = node.tell(ON)
    assert reply == effects.ReplyOk("drain")
    assert withdrawn == effects.WithdrawOffer(id="announce"), "in place of an announcement that is not made yet"
    (refused,) = node.tell(ASK)
    assert isinstance(refused, effects.ReplyRefusal) and refused.refusal.code == "draining"
    assert node.tell(ON) == [reply], "asked twice, nothing more is done"


def test_a_quote_given_before_holds_nothing_and_makes_no_lease() -> None:
    node = make_provider()
    start(node)
    request = make_request(node)
    node.tell(ON)
    assert list(node.state.all(HeldQuote)) == []
    (reply,) = node.tell(request)
    assert isinstance(reply, effects.ReplyRefusal) and reply.refusal.code == "draining"


def test_a_lease_that_waits_for_the_chain_is_refused_and_one_that_is_signed_goes_on() -> None:
    node = make_provider(make_provider_lease(reply_to=("open",)))
    found = node.tell(ON)
    (reply,) = (one for one in found if isinstance(one, effects.ReplyRefusal))
    assert (reply.reply_to, reply.refusal.code) == ("open", "draining")
    running = make_running_lease()
    node = make_provider(running)
    node.tell(ON)
    assert node.get(running) == running
    assert "ReadUsage" in kinds(node.wake(running, after_s=5))


def test_a_restart_and_new_addresses_announce_nothing_while_it_is_drained() -> None:
    node = make_provider()
    start(node)
    node.tell(ON)
    assert kinds(start(node)) == ["WithdrawOffer"]
    assert node.tell(changes.AddressesChanged(("/memory/2",))) == []
    assert node.tell(changes.CapacityVerified(vcpus=1, gpus=0)) == []
    assert node.state.settings.drained_at_ns == NOW_NS
    _, offer = node.tell(OFF)
    assert isinstance(offer, effects.AnnounceOffer) and offer.offer.body.multiaddrs == ("/memory/2",)
    assert isinstance(node.tell(ASK)[-1], effects.ReplyQuote)


def test_a_node_that_sells_nothing_cannot_be_drained() -> None:
    node = Node()
    assert kinds(node.tell(ON)) == ["ReplyRefusal"] and not node.state.settings.drained_at_ns


def test_what_still_runs_says_until_when_at_the_latest() -> None:
    preparing = make_provider_lease(lease_id=b"p" * 32, status="preparing")
    over = make_running_lease(lease_id=b"o" * 32, status="ending", ended_at_ns=NOW_NS)
    settling = make_running_lease(lease_id=b"s" * 32, status="settling", ended_at_ns=NOW_NS)
    node = make_provider(make_running_lease(), preparing, over, settling)
    ends = {one.lease_id: ends_by(one, NOW_NS + NANOS_PER_SECOND) for one in list_running(node.state)}
    limit_ns = preparing.terms.duration_limit_ns
    assert ends == {
        LEASE_ID: NOW_NS + limit_ns,
        preparing.lease_id: NOW_NS + NANOS_PER_SECOND + START_NS + limit_ns,
        over.lease_id: 0,
    }
    assert isinstance(node.get(over), ProviderLease)
