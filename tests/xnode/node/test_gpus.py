"""GPUs that stop working while a provider runs: the offer follows, and the leases' ends say so."""

from __future__ import annotations

from typing import Any

from metering.usage import Counters
from tests.make.records import LEASE_ID, SECOND, Node, make_provider, make_provider_escrow, make_running_lease
from tests.make.values import SEPARATOR, address_of, make_job, make_profile, make_resources
from xnode.node import changes, effects
from xnode.node.blame import is_worth_another
from xnode.node.experience import BROKEN

SUBMITTER = address_of(0)


def make_gpu_provider(*records: Any) -> Node:
    """With eight GPUs."""
    whole = make_resources(
        vcpu_milli=64_000, memory_bytes=512 << 30, disk_bytes=1 << 40, gpus=8, gpu_model="NVIDIA H200"
    )
    node = make_provider(*records, capacity=whole, profile=make_profile())
    settings = node.state.settings
    node.tell(changes.NodeStarted(settings.node, SEPARATOR, "test", ("/memory/1",), settings.provider, None))
    return node


def ask(node: Node, gpus: int) -> effects.Effect:
    resources = make_resources(gpus=gpus, gpu_model="NVIDIA H200" if gpus else "")
    job = make_job(resources=resources, nonce=bytes([gpus]) * 16)
    return node.tell(changes.QuoteRequested("ask", SUBMITTER, job))[-1]


def test_the_offer_has_those_that_work_and_all_again_once_they_do() -> None:
    node = make_gpu_provider()
    assert node.tell(changes.GpusSeen(8)) == []
    (offer,) = node.tell(changes.GpusSeen(7))
    assert isinstance(offer, effects.AnnounceOffer)
    assert (offer.offer.body.capacity.gpus, offer.offer.body.free.gpus) == (7, 7)
    assert node.tell(changes.GpusSeen(7)) == []
    (offer,) = node.tell(changes.GpusSeen(8))
    assert isinstance(offer, effects.AnnounceOffer) and offer.offer.body.capacity.gpus == 8


def test_a_job_for_a_gpu_that_is_lost_is_refused_with_that_reason_and_others_are_served() -> None:
    node = make_gpu_provider()
    node.tell(changes.GpusSeen(7))
    reply = ask(node, 8)
    assert isinstance(reply, effects.ReplyRefusal)
    assert (reply.refusal.code, reply.refusal.detail) == ("gpu_lost", "7 of this host's 8 GPUs work now")
    reply = ask(node, 9)
    assert isinstance(reply, effects.ReplyRefusal) and reply.refusal.code == "capacity"
    assert isinstance(ask(node, 0), effects.ReplyQuote) and isinstance(ask(node, 7), effects.ReplyQuote)


def test_a_lease_whose_gpu_is_lost_is_stopped_and_ends_by_that() -> None:
    lease = make_running_lease()
    node = make_gpu_provider(lease, make_provider_escrow())
    (stop,) = node.tell(changes.GpuLost(LEASE_ID, "nvidia.com/gpu=3 is lost"))
    assert isinstance(stop, effects.StopWorkload)
    node.tell(changes.WorkloadExited(LEASE_ID, Counters(30 * SECOND, 0), 137, False, False), after_s=30)
    ended = node.get(lease)
    assert (ended.end_reason, ended.end_detail) == ("gpu_lost", "nvidia.com/gpu=3 is lost")
    assert ended.last.running_ns == 30 * SECOND, "what ran until then is stated"


def test_a_workload_that_dies_of_its_lost_gpu_is_not_said_to_have_failed_by_itself() -> None:
    for code, reason in ((1, "gpu_lost"), (0, "completed")):
        lease = make_running_lease()
        node = make_gpu_provider(lease, make_provider_escrow())
        gone = changes.WorkloadExited(LEASE_ID, Counters(9 * SECOND, 0), code, False, False, gpu_lost="it is gone")
        node.tell(gone, after_s=9)
        assert node.get(lease).end_reason == reason


def test_it_counts_against_the_provider_and_another_one_is_worth_a_try_before_anything_ran() -> None:
    assert "gpu_lost" in BROKEN
    assert is_worth_another("gpu_lost", "", has_run=False) and not is_worth_another("gpu_lost", "", has_run=True)
