"""What the adapters do where a whole market would not show it, each effect alone."""

from __future__ import annotations

import pytest

from metering.codec import decode_strict, encode
from metering.eip712 import keccak
from metering.refusal import Refusal
from metering.units import Address, Amount, Hash32
from scheduler.job import Blob, Image, InputFile
from scheduler.outputs import FileEntry, Inventory, encode_inventory
from tests.make.nodes import PAYER
from tests.make.records import ESCROW, ESCROW_ID, JOB, LEASE_ID, OPENING, TERMS, make_receipt
from tests.make.values import ASSET, TOKEN, address_of, make_job, make_offer, make_signed_quote
from tests.sim.containers import Behaviour
from tests.xnode.effects.rig import SLOT, Rig
from xnode.errors import Permanent, Retryable
from xnode.node import changes, effects, message
from xnode.ports.net import RpcRefused

PROVIDER, SUBMITTER = address_of(1), address_of(0)
BLOBS = tuple(Blob(keccak(name), 100) for name in (b"manifest", b"config", b"layer"))


# ------------------------------------------------------------------------------------------------------ provider's side


def test_an_offer_is_published_with_our_signature() -> None:
    rig = Rig(1)
    assert rig.perform(effects.AnnounceOffer(make_offer(1), "announce")) == changes.EffectDone()
    assert rig.market.board[PROVIDER].offer == make_offer(1) and rig.signed == ["Offer"]


def test_an_offer_is_taken_back_with_the_reason() -> None:
    rig = Rig(1)
    rig.perform(effects.AnnounceOffer(make_offer(1), "announce"))
    assert rig.perform(effects.WithdrawOffer("announce")) == changes.EffectDone()
    assert rig.market.withdrawn == ["draining"]


def test_funding_is_what_the_escrow_has_and_the_opener_may_still_open() -> None:
    rig = Rig(1)
    rig.open_escrow(7 * TOKEN)
    read = rig.perform(effects.ReadFunding(LEASE_ID, ESCROW_ID, ESCROW, *SLOT))
    assert read == changes.FundingRead(
        LEASE_ID, Amount(100 * TOKEN), Amount(100 * TOKEN), Amount(7 * TOKEN), Amount(0), 0
    )


def test_an_image_of_blobs_comes_from_the_submitter_and_is_imported_once() -> None:
    rig = Rig(1)
    rig.add_peer(SUBMITTER)
    job = make_job(image=Image("sha256:" + "cd" * 32, 300, blobs=BLOBS), inputs=(InputFile("data.txt", BLOBS[0]),))
    fetch = effects.FetchInputs(LEASE_ID, SUBMITTER, (), job, *SLOT)
    for _ in range(2):
        assert rig.perform(fetch) == changes.InputsReady(LEASE_ID)
    ((image, layout),) = rig.containers.imported
    assert image == job.image and layout.name == "sha256-" + "cd" * 32


def test_an_image_that_cannot_be_had_fails_by_the_code_image() -> None:
    rig = Rig(1)
    rig.containers.find_behaviour = lambda _image: Behaviour(image_is_missing=True)
    with pytest.raises(Permanent) as failed:
        rig.perform(effects.FetchInputs(LEASE_ID, SUBMITTER, (), JOB, *SLOT))
    assert failed.value.reason_code == "image"


def test_what_programs_of_the_provider_say_is_told_to_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(1)
    fetch = effects.FetchInputs(LEASE_ID, SUBMITTER, (), JOB, *SLOT)
    start = effects.StartWorkload(LEASE_ID, JOB, JOB.duration_limit_ns, *SLOT)
    collect = effects.CollectOutputs(LEASE_ID, *SLOT)
    inside = "podman: dial tcp 10.0.0.7:443: /var/lib/xnode/engine/images: connection refused"

    async def fail(*_args: object) -> None:
        raise Permanent(inside, hint="restart /usr/bin/podman")

    async def fail_telling(*_args: object) -> None:
        raise Permanent(inside, code="image_room", told="this provider's disk has no room for the image")

    for name in ("pull_image", "start", "keep_log"):
        monkeypatch.setattr(rig.containers, name, fail)
    for effect in (fetch, start, collect):
        with pytest.raises(Permanent) as failed:
            rig.perform(effect)
        assert not any(word in str(failed.value) for word in ("podman", "10.0.0.7", "/var"))
    monkeypatch.setattr(rig.containers, "pull_image", fail_telling)
    with pytest.raises(Permanent) as failed:
        rig.perform(fetch)
    assert (failed.value.reason_code, str(failed.value)) == (
        "image_room", "this provider's disk has no room for the image",
    )  # fmt: skip


def test_inputs_wait_for_a_submitter_that_is_away() -> None:
    rig = Rig(1)
    job = make_job(inputs=(InputFile("data.txt", BLOBS[0]),))
    with pytest.raises(Retryable):
        rig.perform(effects.FetchInputs(LEASE_ID, SUBMITTER, (), job, *SLOT))


def test_a_workload_started_twice_runs_once_from_its_first_start() -> None:
    rig = Rig(1)
    start = effects.StartWorkload(LEASE_ID, JOB, JOB.duration_limit_ns, *SLOT)
    first, second = rig.perform(start), rig.perform(start)
    assert first == second == changes.WorkloadStarted(LEASE_ID, rig.containers.workloads[LEASE_ID].started_at_ns)


def test_a_workload_is_watched_to_its_end_and_its_outputs_collected() -> None:
    rig = Rig(1)
    rig.perform(effects.StartWorkload(LEASE_ID, JOB, JOB.duration_limit_ns, *SLOT))
    exited = rig.perform(effects.WatchWorkload(LEASE_ID, *SLOT))
    assert isinstance(exited, changes.WorkloadExited)
    assert (exited.exit_code, exited.vanished, exited.counters.running_ns) == (0, False, 25 * 10**9)
    read = rig.perform(effects.ReadUsage(LEASE_ID, *SLOT))
    assert isinstance(read, changes.UsageRead)
    assert (read.counters, read.is_over) == (exited.counters, True) and read.read_at_ns > 0
    collected = rig.perform(effects.CollectOutputs(LEASE_ID, *SLOT))
    assert isinstance(collected, changes.OutputsCollected) and collected.left.inventory is not None
    assert (collected.left.entries, collected.left.size_bytes, collected.left.left_out) == (1, 100, 0)
    assert b"result.txt" in rig.network.blobs[collected.left.inventory.sha256]
    assert rig.perform(effects.RemoveWorkload(LEASE_ID, *SLOT)) == changes.WorkloadRemoved(LEASE_ID)
    assert rig.containers.workloads == {}


def test_a_workload_that_is_gone_has_vanished_when_it_is_stopped() -> None:
    exited = Rig(1).perform(effects.StopWorkload(LEASE_ID, *SLOT))
    assert isinstance(exited, changes.WorkloadExited) and exited.vanished and exited.exit_code is None


def test_receipts_are_signed_as_they_are_sent_and_a_refusal_keeps_its_code() -> None:
    rig = Rig(1)
    sent: list[message.ReceiptQueue] = []

    async def refuse(_caller: Address, body: bytes) -> bytes:
        sent.append(decode_strict(body, message.ReceiptQueue))
        raise RpcRefused(encode(Refusal("receipt_cost", "cost 5 is not the 4 due")))

    rig.add_peer(SUBMITTER, receipts_push=refuse)
    receipts = (make_receipt(5), make_receipt(10))
    with pytest.raises(Permanent, match="cost 5 is not the 4 due") as failed:
        rig.perform(effects.PushReceipts(LEASE_ID, SUBMITTER, (), receipts, *SLOT))
    assert failed.value.reason_code == "receipt_cost"
    assert tuple(one.receipt for one in sent[0].receipts) == receipts and rig.signed == ["Receipt", "Receipt"]


def test_a_busy_peer_has_not_refused() -> None:
    rig = Rig(1)

    async def busy(_caller: Address, _body: bytes) -> bytes:
        raise RpcRefused(encode(Refusal("busy", "try again")))

    rig.add_peer(SUBMITTER, lease_news=busy)
    report = effects.LeaseReport(LEASE_ID, "running", None, "", None, None)
    with pytest.raises(Retryable):
        rig.perform(effects.PushNews(SUBMITTER, (), report, *SLOT))


def test_an_opening_that_the_contract_refuses_is_permanent() -> None:
    rig = Rig(1)
    with pytest.raises(Permanent):
        rig.perform(effects.OpenEscrow(LEASE_ID, ESCROW, OPENING, bytes(65), *SLOT))


# ----------------------------------------------------------------------------------------------------- submitter's side


def test_funds_are_bounded_by_what_our_key_may_open_of_the_payer() -> None:
    rig = Rig()
    read = rig.perform(effects.ReadFunds(LEASE_ID, address_of(PAYER), ASSET, *SLOT))
    assert read == changes.FundsRead(LEASE_ID, Amount(100 * TOKEN), Amount(100 * TOKEN))


def test_a_payer_that_signs_for_itself_needs_no_cap() -> None:
    rig = Rig()
    rig.ledger.deposit(SUBMITTER, 3 * TOKEN)
    read = rig.perform(effects.ReadFunds(LEASE_ID, SUBMITTER, ASSET, *SLOT))
    assert read == changes.FundsRead(LEASE_ID, Amount(3 * TOKEN), Amount(3 * TOKEN))


@pytest.mark.parametrize("node, code", [(1, None), (2, "quote_wrong_node")])
def test_a_quote_must_be_of_the_node_that_was_asked(node: int, code: str | None) -> None:
    rig = Rig()

    async def answer(_caller: Address, _body: bytes) -> bytes:
        return encode(make_signed_quote(JOB, node))

    rig.add_peer(PROVIDER, quote_request=answer)
    request = effects.RequestQuote(job_hash=LEASE_ID, job=JOB, node=PROVIDER, multiaddrs=(), **SLOT._asdict())
    if code is None:
        assert rig.perform(request) == changes.QuoteReceived(LEASE_ID, PROVIDER, make_signed_quote(JOB, node))
        return
    with pytest.raises(Permanent) as failed:
        rig.perform(request)
    assert failed.value.reason_code == code


def test_an_answer_that_is_not_of_the_protocol_is_permanent() -> None:
    rig = Rig()

    async def answer(_caller: Address, _body: bytes) -> bytes:
        return b"nonsense"

    rig.add_peer(PROVIDER, quote_request=answer, lease_ask=answer)
    for effect in (
        effects.RequestQuote(job_hash=LEASE_ID, job=JOB, node=PROVIDER, multiaddrs=(), **SLOT._asdict()),
        effects.AskLease(LEASE_ID, PROVIDER, (), False, *SLOT),
    ):
        with pytest.raises(Permanent) as failed:
            rig.perform(effect)
        assert failed.value.reason_code == "malformed_answer"


def test_a_lease_is_signed_when_it_is_sent() -> None:
    rig = Rig()
    asked: list[message.LeaseOffer] = []

    async def sign(_caller: Address, body: bytes) -> bytes:
        asked.append(decode_strict(body, message.LeaseOffer))
        return bytes(65)

    rig.add_peer(PROVIDER, lease_open=sign)
    accepted = rig.perform(effects.RequestLease(LEASE_ID, (), TERMS, ESCROW, None, *SLOT))
    assert accepted == changes.LeaseAccepted(LEASE_ID, bytes(65))
    assert asked[0].terms == TERMS and asked[0].opening_signature == b"" and rig.signed == ["LeaseTerms"]


@pytest.mark.parametrize("stop, method", [(False, "lease_ask"), (True, "lease_stop")])
def test_asking_and_stopping_are_two_methods(stop: bool, method: str) -> None:
    rig = Rig()

    async def answer(_caller: Address, _body: bytes) -> bytes:
        return encode(effects.LeaseReport(LEASE_ID, "running", None, "", None, None))

    rig.add_peer(PROVIDER, **{method: answer})
    news = rig.perform(effects.AskLease(LEASE_ID, PROVIDER, (), stop, *SLOT))
    assert isinstance(news, changes.LeaseNews) and (news.caller, news.status) == (PROVIDER, "running")


def test_an_escrow_that_never_was_opened_needs_no_thaw() -> None:
    assert Rig().perform(effects.StartThaw(ESCROW_ID, ESCROW, *SLOT)) == changes.EscrowClosed(ESCROW_ID)


def test_a_thaw_is_started_once_and_its_end_is_reported_each_time() -> None:
    rig = Rig()
    rig.open_escrow(7 * TOKEN)
    started = rig.perform(effects.StartThaw(ESCROW_ID, ESCROW, *SLOT))
    assert isinstance(started, changes.ThawStarted) and started.thaw_end > rig.now_ns() // 10**9
    assert rig.perform(effects.StartThaw(ESCROW_ID, ESCROW, "another id", *SLOT[1:])) == started


def test_a_closed_escrow_is_back_in_the_payers_balance() -> None:
    rig = Rig()
    rig.open_escrow(7 * TOKEN)
    rig.perform(effects.StartThaw(ESCROW_ID, ESCROW, *SLOT))
    rig.clockwork.run_until(lambda: False, rig.now_ns() + (ESCROW.thaw + 1) * 10**9)
    close = effects.CloseEscrow(ESCROW_ID, ESCROW, Amount(0), "close", "lane")
    for _ in range(2):
        assert rig.perform(close) == changes.EscrowClosed(ESCROW_ID)
    assert rig.ledger.free[address_of(PAYER)] == 1000 * TOKEN


def test_outputs_wait_for_a_provider_that_is_away() -> None:
    rig = Rig()
    inventory = Inventory((FileEntry(b"result.txt", BLOBS[0]), FileEntry(b"../key", BLOBS[1])))
    left = inventory.summary(rig.run(rig.blobs.add_bytes(encode_inventory(inventory))))
    fetch = effects.FetchOutputs(
        lease_id=LEASE_ID, node=PROVIDER, multiaddrs=(), left=left, limit_bytes=1000, into="/results", **SLOT._asdict()
    )
    with pytest.raises(Retryable):
        rig.perform(fetch)
    rig.add_peer(PROVIDER)
    fetched = rig.perform(fetch)
    assert isinstance(fetched, changes.OutputsFetched)
    assert (fetched.here.entries, fetched.here.left_out, fetched.here.folder) == (1, 1, "/results")


def test_a_dropped_quote_is_named_by_its_digest() -> None:
    rig = Rig()
    dropped: list[Hash32] = []

    async def drop(_caller: Address, body: bytes) -> bytes:
        dropped.append(decode_strict(body, message.QuoteQuery).digest)
        return b""

    rig.add_peer(PROVIDER, quote_drop=drop)
    done = rig.perform(effects.DropQuote(LEASE_ID, PROVIDER, (), Hash32(keccak(b"quote")), *SLOT))
    assert done == changes.EffectDone() and dropped == [keccak(b"quote")]
