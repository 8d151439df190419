"""The standing offer and the quotes that hold capacity, one step at a time."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from metering.units import NANOS_PER_HOUR, Hash32
from scheduler.offer import SETTINGS_HASH_CHARS, read_software
from tests.make.records import SECOND, Node, make_provider, make_running_lease
from tests.make.values import SEPARATOR, address_of, make_job, make_resources, make_tariff
from xnode.node import changes, effects
from xnode.node.credit_term import CreditTerm
from xnode.node.provider.quote import MAX_QUOTES_PER_SUBMITTER
from xnode.node.records import HeldQuote, StandingOffer

SUBMITTER = address_of(0)

HASH, OTHER_HASH = Hash32(b"\xa1" * 32), Hash32(b"\xb2" * 32)
"""Of declared settings."""


def start(node: Node) -> list[effects.Effect]:
    settings = node.state.settings
    return node.tell(
        changes.NodeStarted(settings.node, SEPARATOR, "test", ("/memory/1",), settings.provider, settings.submitter)
    )


def ask(node: Node, number: int = 0, submitter: int = 0, **fields: Any) -> list[effects.Effect]:
    job = make_job(nonce=number.to_bytes(16, "big"), submitter=address_of(submitter), **fields)
    return node.tell(changes.QuoteRequested("ask", address_of(submitter), job))


def offers(found: list[effects.Effect]) -> list[effects.AnnounceOffer]:
    return [one for one in found if isinstance(one, effects.AnnounceOffer)]


def test_a_provider_that_starts_announces_its_offer_and_renews_it_at_half_time() -> None:
    node = make_provider()
    (announced,) = offers(start(node))
    assert announced.offer.body.multiaddrs == ("/memory/1",)
    (again,) = offers(start(node))
    assert again.offer.number > announced.offer.number, "who was told before the restart may have forgotten it"
    announced = again
    standing = node.state.standing_offer
    assert node.wake(standing, after_s=NANOS_PER_HOUR // SECOND // 2 - 1) == []
    (renewed,) = offers(node.wake(standing, after_s=1))
    assert renewed.offer.number > announced.offer.number


def test_a_node_that_is_not_a_provider_announces_and_quotes_nothing() -> None:
    node = Node()
    assert start(node) == []
    (reply,) = ask(node)
    assert isinstance(reply, effects.ReplyRefusal) and reply.refusal.code == "not_a_provider"


@pytest.mark.parametrize(
    "change",
    [
        changes.PricesSet(make_tariff(vcpu_hour=7)),
        changes.CapacityVerified(vcpus=2, gpus=0),
        changes.AddressesChanged(("/memory/other",)),
    ],
    ids=lambda change: type(change).__name__,
)
def test_what_changes_the_offer_is_announced_once(change: changes.Change) -> None:
    node = make_provider()
    (before,) = offers(start(node))
    (after,) = offers(node.tell(change))
    assert after.offer.body != before.offer.body and after.offer.number > before.offer.number
    assert node.tell(change) == []


def test_what_is_leased_or_quoted_is_not_free() -> None:
    lease = make_running_lease()
    node = make_provider(lease)
    (announced,) = offers(start(node))
    body = announced.offer.body
    assert body.free == body.capacity.minus(lease.terms.resources)
    (fewer,) = offers(ask(node, resources=make_resources(vcpu_milli=1000)))
    assert fewer.offer.body.free.vcpu_milli == body.free.vcpu_milli - 1000


def test_the_same_question_gets_the_same_quote_while_it_holds() -> None:
    node = make_provider()
    first, again = ask(node)[-1], ask(node)[-1]
    assert isinstance(first, effects.ReplyQuote) and first == again
    (held,) = node.state.all(HeldQuote)
    node.wake(held, after_s=30)
    assert list(node.state.all(HeldQuote)) == [], "an expired quote holds nothing"
    later = ask(node)[-1]
    assert isinstance(later, effects.ReplyQuote) and later.quote.number > first.quote.number


def test_one_submitter_cannot_hold_all_capacity_by_asking() -> None:
    node = make_provider()
    small = make_resources(vcpu_milli=10, memory_bytes=1 << 20, disk_bytes=1 << 20)
    for number in range(MAX_QUOTES_PER_SUBMITTER):
        assert isinstance(ask(node, number, resources=small)[-1], effects.ReplyQuote)
    (reply,) = ask(node, MAX_QUOTES_PER_SUBMITTER, resources=small)
    assert isinstance(reply, effects.ReplyRefusal) and reply.refusal.code == "too_many_quotes"
    assert isinstance(ask(node, submitter=9, resources=small)[-1], effects.ReplyQuote), "another one is still served"


def test_a_job_in_the_name_of_another_is_refused() -> None:
    (reply,) = make_provider().tell(changes.QuoteRequested("ask", address_of(9), make_job(submitter=SUBMITTER)))
    assert isinstance(reply, effects.ReplyRefusal) and reply.refusal.code == "job_wrong_submitter"


def test_only_its_own_submitter_drops_a_quote() -> None:
    node = make_provider()
    ask(node)
    (held,) = node.state.all(HeldQuote)
    for caller, left in ((address_of(9), 1), (SUBMITTER, 0)):
        (*_, reply) = node.tell(changes.QuoteDropped("drop", caller, held.digest))
        assert reply == effects.ReplyOk("drop")
        assert len(list(node.state.all(HeldQuote))) == left


def test_a_restart_keeps_the_verified_capacity_until_it_is_read_again() -> None:
    node = make_provider()
    unverified = node.state.settings.provider
    start(node)
    node.tell(changes.CapacityVerified(vcpus=2, gpus=0))
    settings = node.state.settings
    node.tell(changes.NodeStarted(settings.node, SEPARATOR, "test", ("/memory/1",), unverified, None))
    provider = node.state.settings.provider
    assert provider is not None and provider.offered_resources().vcpu_milli == 2000
    offer = node.state.get(StandingOffer, b"")
    assert offer is not None and offer.free.vcpu_milli == 2000


def test_a_provider_without_gas_quotes_nothing_and_does_again_once_it_has_some() -> None:
    node = make_provider()
    assert isinstance(ask(node, 1)[-1], effects.ReplyQuote), "not known yet is not empty"
    node.tell(changes.ChainSeen(opening_ns=8 * SECOND, affordable=1))
    (reply,) = ask(node, 2)
    assert isinstance(reply, effects.ReplyRefusal) and reply.refusal.code == "provider_gas"
    assert "can pay for 1 transactions, 2 are needed" in reply.refusal.detail
    node.tell(changes.ChainSeen(opening_ns=8 * SECOND, affordable=2))
    assert isinstance(ask(node, 2)[-1], effects.ReplyQuote)


def test_gas_for_the_leases_under_way_is_not_promised_again() -> None:
    node = make_provider(make_running_lease())
    node.tell(changes.ChainSeen(opening_ns=8 * SECOND, affordable=2))
    (reply,) = ask(node, 1)
    assert isinstance(reply, effects.ReplyRefusal) and reply.refusal.code == "provider_gas"
    node.tell(changes.ChainSeen(opening_ns=8 * SECOND, affordable=3))
    assert isinstance(ask(node, 1)[-1], effects.ReplyQuote)


def test_what_the_chain_showed_is_kept_over_a_restart() -> None:
    node = make_provider()
    node.tell(changes.ChainSeen(opening_ns=8 * SECOND, affordable=1))
    settings = node.state.settings
    fresh = make_provider().state.settings.provider
    node.tell(changes.NodeStarted(settings.node, SEPARATOR, "test", ("/memory/1",), fresh, None))
    provider = node.state.settings.provider
    assert provider is not None and (provider.opening_ns, provider.affordable) == (8 * SECOND, 1)


def test_no_more_disk_is_offered_than_there_is_and_leases_keep_theirs() -> None:
    lease = make_running_lease()
    node = make_provider(lease)
    start(node)
    disk = lease.terms.resources.disk_bytes
    (announced,) = offers(node.tell(changes.DiskSeen(disk + 5, is_short=False)))
    assert announced.offer.body.capacity.disk_bytes == disk + 5 and announced.offer.body.free.disk_bytes == 5
    (reply,) = ask(node, 1)
    assert isinstance(reply, effects.ReplyRefusal) and reply.refusal.code == "capacity"
    assert node.get(lease).status == "running"
    (grown,) = offers(node.tell(changes.DiskSeen(1 << 50, is_short=False)))
    provider = node.state.settings.provider
    assert provider is not None and grown.offer.body.capacity.disk_bytes == provider.capacity.disk_bytes


def test_a_provider_whose_disk_is_nearly_full_quotes_nothing_and_does_again_once_there_is_room() -> None:
    node = make_provider()
    node.tell(changes.DiskSeen(1 << 40, is_short=True))
    (reply,) = ask(node, 1)
    assert isinstance(reply, effects.ReplyRefusal) and reply.refusal.code == "provider_disk"
    node.tell(changes.DiskSeen(1 << 40, is_short=False))
    assert isinstance(ask(node, 1)[-1], effects.ReplyQuote)


def test_with_credits_out_no_lease_runs_beyond_the_verdict_and_its_grace() -> None:
    node = make_provider()
    longest_s = make_job(submitter=address_of(1)).duration_limit_ns // SECOND
    for left_s, kind in ((longest_s - 1, effects.ReplyRefusal), (2 * longest_s, effects.ReplyQuote)):
        term = CreditTerm(cpu_end_by_s=node.now_ns // SECOND + left_s)
        node.tell(changes.CapacityVerified(vcpus=8, gpus=0, term=term))
        assert isinstance(ask(node, 1)[-1], kind)
    node.tell(changes.CapacityVerified(vcpus=8, gpus=0))
    assert isinstance(ask(node, 2)[-1], effects.ReplyQuote), "without credits there is nothing to default on"


def test_what_the_disk_showed_is_kept_over_a_restart() -> None:
    node = make_provider()
    node.tell(changes.DiskSeen(7, is_short=True))
    settings = node.state.settings
    fresh = make_provider().state.settings.provider
    node.tell(changes.NodeStarted(settings.node, SEPARATOR, "test", ("/memory/1",), fresh, None))
    provider = node.state.settings.provider
    assert provider is not None and (provider.leases_disk_bytes, provider.disk_is_short) == (7, True)


def reload(node: Node, settings_hash: Hash32, **changed: Any) -> list[effects.Effect]:
    settings = node.state.settings
    assert settings.provider is not None
    wanted = replace(settings.provider, **changed)
    return node.tell(changes.SettingsChanged("reload", settings_hash, wanted, settings.submitter))


def test_settings_that_are_declared_otherwise_are_offered_at_once_and_measurements_stay() -> None:
    node = make_provider()
    (before,) = offers(start(node))
    node.tell(changes.DiskSeen(7, is_short=True))
    told = reload(node, HASH, region="us", verified_vcpus=0, leases_disk_bytes=None, disk_is_short=False)
    (after,) = offers(told)
    assert effects.ReplyOk("reload") in told
    assert (after.offer.body.region, after.offer.number > before.offer.number) == ("us", True)
    assert read_software(after.offer.body.software) == ("test", HASH.hex()[:SETTINGS_HASH_CHARS])
    provider = node.state.settings.provider
    assert provider is not None and (provider.leases_disk_bytes, provider.disk_is_short) == (7, True)
    assert reload(node, HASH) == [effects.ReplyOk("reload")], "what is so already is not announced again"


def test_a_quote_keeps_what_it_was_given_with_when_settings_change() -> None:
    node = make_provider()
    first = ask(node)[-1]
    reload(node, HASH, tariff=make_tariff(vcpu_hour=7), max_duration_ns=1)
    assert ask(node)[-1] == first and isinstance(first, effects.ReplyQuote)
    refused = ask(node, 1)[-1]
    assert isinstance(refused, effects.ReplyRefusal), "what is asked anew is judged by the new ones"


def test_settings_of_a_drained_provider_are_taken_without_an_offer() -> None:
    node = make_provider()
    node.tell(changes.DrainSet("drain", is_on=True))
    assert offers(reload(node, HASH, region="us")) == []
    assert node.state.settings.provider is not None and node.state.settings.provider.region == "us"


def begin(node: Node, software: str, settings_hash: Hash32) -> int:
    """Start so, a second later; since when software and settings are these."""
    settings = node.state.settings
    fields = (settings.node, SEPARATOR, software, (), settings.provider, settings.submitter)
    node.tell(changes.NodeStarted(*fields, settings_hash=settings_hash), after_s=1)
    return node.state.settings.unchanged_since_ns


def test_software_and_settings_are_unchanged_since_the_first_start_with_both() -> None:
    node = make_provider()
    first_ns = begin(node, "xnode/1", HASH)
    assert first_ns == node.now_ns
    assert begin(node, "xnode/1", HASH) == first_ns < node.now_ns, "over every start"
    reload(node, HASH)
    assert node.state.settings.unchanged_since_ns == first_ns
    assert begin(node, "xnode/2", HASH) == node.now_ns
    reload(node, OTHER_HASH)
    assert node.state.settings.unchanged_since_ns == node.now_ns
    node.now_ns += SECOND
    reload(node, HASH)
    assert node.state.settings.unchanged_since_ns == node.now_ns, "there and back is a change"
