"""Blame: whose doing it was that a lease ended, and so whether another provider is worth a try."""

from __future__ import annotations

from typing import get_args

from xnode.node.lease import EndReason

NEVER_RAN: frozenset[EndReason] = frozenset(
    {
        "image_failed",
        "input_failed",
        "launch_failed",
        "workload_vanished",
        "gpu_lost",
        "thaw_started",
        "provider_lost",
        "provider_late",
    }
)
"""Before the workload ran these may be the provider's doing, or its host's or network's: another one may do better."""

UNFUNDED: frozenset[EndReason] = frozenset({"escrow_unconfirmed"})
"""Likewise, also when the workload ran for a moment: without an escrow nothing of it is paid."""

UNKNOWN_END: frozenset[EndReason] = frozenset({"provider_lost", "provider_late"})
"""Nobody has said that the workload ended, or that it never ran."""

FINAL: frozenset[EndReason] = frozenset(get_args(EndReason)) - NEVER_RAN - UNFUNDED
"""The workload's own end, or the submitter's doing: another provider would only do the same again."""

JOBS_OWN = frozenset({"job", "job_image"})
"""The codes of a fault that lies in the job or its image wherever it runs: a command that is not there, wrong bytes under a
digest. Adapters give it (`Permanent(..., code="job")`); a provider hands it on in its report."""

IMAGE_CODES = {
    "image": "the image cannot be used there, for no reason below",
    "image_registry": "the provider does not pull from the image's registry",
    "image_address": "the registry, or what it refers to, is not at a public address",
    "image_size": "the image is larger than its job says, or than the provider takes",
    "image_unpacked": "the image unpacks to more bytes or files than its size allows",
    "image_room": "the provider's disk has no room for the image",
    "image_slow": "the registry gives the image too slowly, or it takes too long to unpack",
    "image_busy": "the registry lets the provider pull no more for now",
    "image_unreachable": "the registry cannot be reached from there, or breaks off",
    "job_image": "the image is at fault itself: nobody may pull it, or its bytes are wrong",
}
"""How an image was not to be had: the code of a lease that ended as `image_failed`, and what it means."""


def is_worth_another(reason: EndReason, code: str, has_run: bool) -> bool:
    """True when the job may go to another provider after its lease ended for this reason. code: of the fault, "" when the
    provider named none."""
    if code in JOBS_OWN:
        return False
    return reason in UNFUNDED or (reason in NEVER_RAN and not has_run)


def may_run_on(reason: EndReason, has_run: bool) -> bool:
    """True when a lease that ended for this reason may run its workload all the same, or has run some of it: then the job, placed
    elsewhere, runs twice."""
    return reason in UNKNOWN_END or has_run
