"""Step: (state, entry) -> (state, effects): the one place where a change meets its handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from metering.refusal import Refusal
from xnode.node import changes, effects
from xnode.node.lease import OPEN, EndReason
from xnode.node.provider import lease as provider_lease
from xnode.node.provider import money as provider_money
from xnode.node.provider import quote as provider_quote
from xnode.node.records import (
    HeldQuote,
    NodeSettings,
    ProviderEscrow,
    ProviderLease,
    ProviderSettings,
    StandingOffer,
    SubmitterEscrow,
    SubmitterJob,
    SubmitterLease,
)
from xnode.node.state import State, Turn, kind_of
from xnode.node.submitter import job as submitter_job
from xnode.node.submitter import lease as submitter_lease
from xnode.node.submitter import money as submitter_money


def step(state: State, entry: changes.Entry) -> Turn:
    """The turn that the entry makes of the state: its next state, touched records and effects. Never raises for what
    another party sent."""
    turn = Turn(state, entry.at_ns, entry.entropy)
    _HANDLERS[type(entry.change)](turn, entry.change)
    return turn


def _on_node_started(turn: Turn, change: changes.NodeStarted) -> None:
    """Take the settings; leases that were open go on under the terms they have."""
    provider = _keep_verified(turn.state.settings.provider, change.provider)
    turn.put(NodeSettings(change.node, change.separator, change.software, provider, change.submitter))
    for job in tuple(turn.state.all(SubmitterJob)):
        submitter_job.resume_job(turn, job)
    for lease in tuple(turn.state.all(SubmitterLease)):
        submitter_lease.grant_grace(turn, lease)
    for served in tuple(turn.state.all(ProviderLease)):
        provider_lease.resume_lease(turn, served)
    for escrow in tuple(turn.state.all(ProviderEscrow)):
        provider_money.resume_escrow(turn, escrow)
    provider_quote.refresh_offer(turn, change.multiaddrs)


def _keep_verified(before: ProviderSettings | None, now: ProviderSettings | None) -> ProviderSettings | None:
    # What was verified is read again soon; until then selling more than we knew of would be slashable.
    if before is None or now is None or before.owner != now.owner:
        return now
    return msgspec.structs.replace(now, verified_vcpus=before.verified_vcpus, verified_gpus=before.verified_gpus)


def _on_woke(turn: Turn, change: changes.Woke) -> None:
    record_type, handler = _WAKERS[change.kind]
    record = turn.get(record_type, change.key)
    # A timer that fires for a record since changed is late news.
    if record is not None and record.wake_at_ns is not None and record.wake_at_ns <= turn.at_ns:
        handler(turn, record)


def _on_offer_woke(turn: Turn, _offer: StandingOffer) -> None:
    provider_quote.refresh_offer(turn)


def _on_escrow_seen(turn: Turn, change: changes.EscrowSeen) -> None:
    paid = turn.get(SubmitterEscrow, change.escrow_id)
    if paid is not None:
        submitter_money.on_escrow_seen(turn, paid, change)
    earned = turn.get(ProviderEscrow, change.escrow_id)
    if earned is None:
        return
    thaws = bool(change.thaw_end) and not earned.thaw_end
    earned = turn.put(earned, deposited=change.deposited, claimed=change.claimed, thaw_end=change.thaw_end)
    if thaws:
        # Everything vouchered must be claimed before the thaw ends, so nothing more is worked for.
        for line in earned.lines:
            lease = turn.get(ProviderLease, line.lease_id)
            if lease is not None:
                provider_lease.stop_lease(turn, lease, "thaw_started")
        provider_money.claim_escrow(turn, turn.get(ProviderEscrow, change.escrow_id) or earned, urgent=True)


def _on_effect_failed(turn: Turn, change: changes.EffectFailed) -> None:
    effect = change.effect
    lease_id = getattr(effect, "lease_id", None)
    lease = turn.get(ProviderLease, lease_id) if lease_id is not None else None
    if isinstance(effect, effects.Claim):
        provider_money.on_claim_failed(turn, effect.escrow_id)
    elif lease is not None:
        _on_provider_effect_failed(turn, lease, change)
    else:
        _on_submitter_effect_failed(turn, effect, Refusal(change.code, change.detail))


def _on_provider_effect_failed(turn: Turn, lease: ProviderLease, change: changes.EffectFailed) -> None:
    match change.effect:
        case effects.ReadFunding() if lease.status == "requested":
            provider_lease.refuse_lease(turn, lease, Refusal(change.code, change.detail))
        case effects.OpenEscrow() if not lease.funded:
            provider_lease.stop_lease(turn, turn.put(lease, opening=None), "escrow_unconfirmed", change.detail)
        case effects.FetchInputs():
            reason: EndReason = "image_failed" if change.code == "image" else "input_failed"
            provider_lease.on_launch_failed(turn, lease, reason, change.detail)
        case effects.StartWorkload():
            provider_lease.on_launch_failed(turn, lease, "launch_failed", change.detail)
        case effects.StopWorkload():
            provider_lease.on_stop_failed(turn, lease)
        case effects.CollectOutputs() if lease.outputs is None:
            provider_lease.keep_outputs(turn, turn.put(lease, end_detail=f"outputs: {change.detail}"), ())
        case effects.PushReceipts():
            _on_push_failed(turn, lease, change)
        case _:
            # A node may lease from itself, and then has both records under one id.
            _on_submitter_effect_failed(turn, change.effect, Refusal(change.code, change.detail))


def _on_submitter_effect_failed(turn: Turn, effect: effects.Effect, refusal: Refusal) -> None:
    match effect:
        case effects.SearchOffers() | effects.ReadFunds():
            job = turn.get(SubmitterJob, effect.job_hash)
            if job is not None:
                submitter_job.on_search_failed(turn, job, refusal)
        case effects.RequestQuote():
            submitter_job.on_quote_failed(turn, effect, refusal)
        case effects.RequestLease():
            task = turn.get(SubmitterLease, effect.lease_id)
            if task is not None:
                submitter_lease.on_lease_refused(turn, task, refusal)
        case effects.AskLease():
            task = turn.get(SubmitterLease, effect.lease_id)
            if task is not None and refusal.code == "lease_unknown":
                submitter_lease.on_provider_forgot(turn, task, refusal.detail)
            elif task is not None:
                submitter_lease.on_ask_failed(turn, task, effect.stop)
        case effects.FetchOutputs():
            task = turn.get(SubmitterLease, effect.lease_id)
            if task is not None:
                submitter_lease.on_outputs_failed(turn, task, refusal.detail)
        case effects.StartThaw() | effects.CloseEscrow():
            submitter_money.on_withdrawal_failed(turn, effect.escrow_id)
        case _:
            pass


def _on_push_failed(turn: Turn, lease: ProviderLease, change: changes.EffectFailed) -> None:
    # A refusal is the submitter's last word; a missed deadline only means that nobody answered.
    if change.code != "deadline" and lease.status in OPEN:
        if lease.status == "running":
            provider_lease.stop_lease(turn, lease, "receipt_refused", f"{change.code}: {change.detail}")
        elif lease.status == "stopping" and lease.stop_reason == "stopped_by_submitter":
            # Its stop overtook its refusal, which is why it stopped us.
            turn.put(lease, stop_reason="receipt_refused", end_detail=f"{change.code}: {change.detail}")
        else:
            provider_money.on_receipts_refused(turn, lease)


_WAKERS: dict[str, tuple[Any, Callable[[Turn, Any], None]]] = {
    kind_of(StandingOffer): (StandingOffer, _on_offer_woke),
    kind_of(HeldQuote): (HeldQuote, provider_quote.on_quote_woke),
    kind_of(ProviderLease): (ProviderLease, provider_lease.on_lease_woke),
    kind_of(ProviderEscrow): (ProviderEscrow, provider_money.on_escrow_woke),
    kind_of(SubmitterJob): (SubmitterJob, submitter_job.on_job_woke),
    kind_of(SubmitterLease): (SubmitterLease, submitter_lease.on_lease_woke),
    kind_of(SubmitterEscrow): (SubmitterEscrow, submitter_money.on_escrow_woke),
}

_HANDLERS: dict[type[Any], Callable[[Turn, Any], None]] = {
    changes.NodeStarted: _on_node_started,
    changes.Woke: _on_woke,
    changes.EffectFailed: _on_effect_failed,
    changes.PricesSet: provider_quote.on_prices_set,
    changes.CapacityVerified: provider_quote.on_capacity_verified,
    changes.AddressesChanged: provider_quote.on_addresses_changed,
    changes.QuoteRequested: provider_quote.on_quote_requested,
    changes.QuoteDropped: provider_quote.on_quote_dropped,
    changes.LeaseRequested: provider_lease.on_lease_requested,
    changes.FundingRead: provider_lease.on_funding_read,
    changes.InputsReady: provider_lease.on_inputs_ready,
    changes.WorkloadStarted: provider_lease.on_workload_started,
    changes.UsageRead: provider_lease.on_usage_read,
    changes.WorkloadExited: provider_lease.on_workload_exited,
    changes.VoucherReceived: provider_money.on_voucher_received,
    changes.OutputsCollected: provider_lease.on_outputs_collected,
    changes.WorkloadRemoved: provider_lease.on_workload_removed,
    changes.LeaseStopRequested: provider_lease.on_lease_stop_requested,
    changes.LeaseAsked: provider_lease.on_lease_asked,
    changes.EffectDone: lambda turn, change: None,
    changes.OpeningConfirmed: provider_money.on_opening_confirmed,
    changes.ClaimConfirmed: provider_money.on_claim_confirmed,
    changes.EscrowSeen: _on_escrow_seen,
    changes.JobSubmitted: submitter_job.on_job_submitted,
    changes.JobStopRequested: submitter_job.on_job_stop_requested,
    changes.OffersRanked: submitter_job.on_offers_ranked,
    changes.QuoteReceived: submitter_job.on_quote_received,
    changes.FundsRead: submitter_job.on_funds_read,
    changes.LeaseAccepted: submitter_lease.on_lease_accepted,
    changes.ReceiptsReceived: submitter_lease.on_receipts_received,
    changes.LeaseNews: submitter_lease.on_lease_news,
    changes.OutputsFetched: submitter_lease.on_outputs_fetched,
    changes.ThawStarted: submitter_money.on_thaw_started,
    changes.EscrowClosed: submitter_money.on_escrow_closed,
}
