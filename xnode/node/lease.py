"""Lease: its states and the one table of transitions that both sides follow."""

from __future__ import annotations

from typing import Literal

LeaseStatus = Literal[
    "requested",  # is asked for, and the chain is asked for its escrow
    "preparing",  # is countersigned; image and inputs are fetched
    "launching",  # has all it needs, and its workload is started
    "running",  # has a workload that runs
    "stopping",  # has a workload that is told to end
    "ending",  # has no workload any more, and waits for the voucher over its final receipt
    "settling",  # is paid as far as it will be; claim and release are sent
    "settled",  # is over on chain too
    "refused",  # was never countersigned
]
Trigger = Literal["funded", "refuse", "prepared", "started", "stop", "exited", "failed", "paid", "lost", "settled"]

TRANSITIONS: dict[tuple[LeaseStatus, Trigger], LeaseStatus] = {
    ("requested", "funded"): "preparing",
    ("requested", "refuse"): "refused",
    ("preparing", "prepared"): "launching",
    ("preparing", "failed"): "ending",
    ("preparing", "stop"): "ending",
    ("launching", "started"): "running",
    ("launching", "exited"): "ending",
    ("launching", "failed"): "ending",
    ("launching", "stop"): "stopping",
    ("running", "stop"): "stopping",
    ("running", "exited"): "ending",
    ("stopping", "exited"): "ending",
    ("ending", "paid"): "settling",
    ("preparing", "lost"): "settling",
    ("launching", "lost"): "settling",
    ("running", "lost"): "settling",
    ("stopping", "lost"): "settling",
    ("ending", "lost"): "settling",
    ("settling", "settled"): "settled",
}

OPEN: frozenset[LeaseStatus] = frozenset({"preparing", "launching", "running", "stopping", "ending"})
"""The lease may still cost something."""

HOLDING: frozenset[LeaseStatus] = frozenset({"requested", "preparing", "launching", "running", "stopping"})
"""The lease occupies capacity on the provider."""

EndReason = Literal[
    "completed",  # the workload exited with status 0
    "exit_code",  # the workload exited with another status
    "out_of_memory",  # the workload passed its memory limit
    "time_limit",  # the workload reached its wall-clock limit
    "cost_limit",  # the lease reached the most it may cost
    "stopped_by_submitter",  # the submitter asked for it
    "unpaid",  # no voucher for as many intervals as the terms say
    "escrow_unconfirmed",  # the escrow's opening did not confirm before the exposure limit
    "thaw_started",  # the payer began to take the escrow back
    "image_failed",  # the image could not be had or is not what its digest says
    "input_failed",  # an input could not be fetched
    "launch_failed",  # the engine would not start the workload
    "workload_vanished",  # the container disappeared without an exit status
    "gpu_lost",  # a GPU of the workload stopped working
    "receipt_refused",  # the submitter refused a receipt and signs nothing more
    "provider_lost",  # nothing was heard from the provider for too long
    "provider_late",  # the provider talked on, and did not start or end the workload in its time
]


def next_status(status: LeaseStatus, trigger: Trigger) -> LeaseStatus | None:
    """The state after the trigger, or None when the trigger means nothing in this state (it came late or twice)."""
    return TRANSITIONS.get((status, trigger))


def follow(status: LeaseStatus, *triggers: Trigger) -> LeaseStatus:
    """The state after these triggers, one after the other; one that means nothing where it comes changes nothing.

    Each side sees only a part of what happens to a lease: "exited", "failed", "paid" leads every open lease to settlement.
    """
    for trigger in triggers:
        status = TRANSITIONS.get((status, trigger), status)
    return status


def make_diagram() -> str:
    """The table as a Mermaid state diagram, as ARCHITECTURE.md shows it."""
    rows = ["stateDiagram-v2", "    [*] --> requested"]
    rows += [f"    {before} --> {after}: {trigger}" for (before, trigger), after in TRANSITIONS.items()]
    return "\n".join([*rows, "    settled --> [*]", "    refused --> [*]"])
